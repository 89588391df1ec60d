"""Fixtures that several folders of tests share."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Small tensors lose by being shared out: one thread takes half the time of two. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

RunPython = Callable[..., Any]

# Last, so that nothing of the site shadows a package: its tables are made by docs/doc_tools.
sys.path.append(str(Path(__file__).parents[1] / "docs"))


@pytest.fixture(scope="session")
def hooks() -> Any:
    """The module that mkdocs calls, which fills in the tables."""
    return importlib.import_module("hooks")


@pytest.fixture
def shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of few blocks and channels: what they are made of is the same, and takes a tenth of the time."""
    from ferzoo.models import lfn, mfn
    from ferzoo.models.resnet18 import ResNet18

    for module in (lfn, mfn):
        stages = [(out, 1, *mixes) for out, _, *mixes in module.STAGES]
        monkeypatch.setattr(module, "STAGES", tuple(stages))
    monkeypatch.setattr(ResNet18, "widths", (64, 32, 48, 80))


def _exported(folder: Path, **inside: bool) -> Path:
    pytest.importorskip("onnxruntime", reason="comes with the extra export")
    pytest.importorskip("onnxscript", reason="comes with the extra export")
    ferzoo = importlib.import_module("ferzoo")
    return Path(ferzoo.export("lanmsff", folder / "lanmsff.onnx", **inside).path)


@pytest.fixture(scope="session")
def lanmsff_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped lanmsff as an ONNX file; not to be changed."""
    return _exported(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="session")
def lanmsff_whole_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As above, from pictures to probabilities."""
    return _exported(tmp_path_factory.mktemp("onnx"), preprocess=True, softmax=True)


@pytest.fixture(scope="session")
def largest_file() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Limits the bytes of a file that this process writes, as a full disk limits them."""
    resource: Any = pytest.importorskip("resource", reason="this system limits no file")

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before, kept = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
        # Python would not notice that what it keeps of a module was cut off, and read it the next time.
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            sys.dont_write_bytecode = kept

    return limited


@pytest.fixture(scope="session")
def run_python(tmp_path_factory: pytest.TempPathFactory) -> RunPython:
    """Run code in a fresh interpreter; what it leaves in the variable `out` comes back through JSON."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(code: str, paths: Iterable[Path] = (), **env: str) -> Any:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FERZOO_")}
        path = os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])])
        env = {**inherited, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **env}
        code += "\nimport json\nprint('\\n' + json.dumps(out))\n"
        # Run in an empty folder, so that the checkout is not importable by chance.
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
