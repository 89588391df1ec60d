"""The quickstart and the guides hold: their blocks run from top to bottom, in one folder, as a reader would.

A block runs unless the line `<!-- not run: REASON -->` stands above it; then its Python has to compile, and its
`ferzoo` lines have to be lines that the command takes. Python of the quickstart runs in test_docs.py.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ferzoo.cli.main import COMMANDS, main
from ferzoo.train.recipe import Recipe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
QUICKSTART = DOCS / "index.md"
PAGES = [QUICKSTART, *sorted((DOCS / "guides").glob("*.md")), DOCS / "finetuning.md", DOCS / "deployment.md"]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>]+?) -->\n)?^```(?P<language>python|console|bash|yaml)\n(?P<code>.*?)^```$", re.M | re.S
)
CLASSES = ("open_mouth", "smile", "wink")
#: What the tests cut down: the pages train for longer.
SHORT = {"ferzoo train": ["epochs=1", "sizes={0: 32}", "batch_size=4"]}


class Block(NamedTuple):
    language: str
    code: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    found = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        mark = match["mark"] or ""
        assert not mark.startswith("not run") or re.match(r"not run: .{8,}", mark), f"{page.name}: why is it not run?"
        found.append(Block(match["language"], match["code"], not mark.startswith("not run:")))
    return found


def commands(code: str) -> list[str]:
    """Lines of a console block without what is continued and without remarks."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"\s{2,}#.*$", "", line).strip() for line in lines) if line]


def check_line(line: str) -> None:
    """Hold a line that is not run against the command's own arguments."""
    program, *arguments = shlex.split(line.partition(" > ")[0])
    if program == "pip":
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"(?<=[\[,])\w+(?=[\],])", line):
            assert re.search(rf"^{extra} = \[", text, re.M), f"no extra {extra}"
    if program != "ferzoo":
        return
    command, *rest = arguments
    parser = argparse.ArgumentParser()
    importlib.import_module(f"ferzoo.cli.{COMMANDS[command][0]}").add_arguments(parser)
    args = parser.parse_intermixed_args(rest)
    if command == "train":
        Recipe.load(None, [item for item in args.recipe if "=" in item])


def run_line(line: str) -> None:
    """Run a `ferzoo` line in this process."""
    check_line(line)
    program, *arguments = shlex.split(line)
    if program == "ferzoo":
        extra = SHORT.get(f"ferzoo {arguments[0]}", [])
        assert main([*arguments, *extra]) == 0, line
    else:
        assert program == "pip", f"{line} cannot be run: mark it with <!-- not run: REASON -->"


def run(block: Block, python: bool) -> None:
    if block.language == "python":
        compiled = compile(block.code, "page", "exec")
        if block.runs and python:
            exec(compiled, {"__name__": "page"})
    elif block.language == "yaml":
        name = re.match(r"# (\S+\.yaml)$", block.code, re.M)
        assert name, "the first line of a recipe names its file"
        Path(name[1]).write_text(block.code)
        Recipe.load(name[1])
    else:
        for line in commands(block.code):
            (run_line if block.runs else check_line)(line)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader is: the photograph of the repository, and a few pictures in three classes."""
    (tmp_path / "docs" / "images").mkdir(parents=True)
    shutil.copy(DOCS / "images" / "astronaut.jpg", tmp_path / "docs" / "images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("validation", 2), ("test", 2)):
        for label, name in enumerate(CLASSES):
            place = tmp_path / "faces" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 80, (40, 36, 3), dtype=np.uint8)
                pixels[12 * label : 12 * label + 12] += 150
                Image.fromarray(pixels).save(place / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_blocks_of_a_page_run_in_order(page: Path, folder: Path) -> None:
    found = blocks(page)
    if any(block.runs for block in found):
        pytest.importorskip("cv2", reason="comes with the extra faces")
        pytest.importorskip("onnxruntime", reason="comes with the extra export")
    for block in found:
        run(block, python=page != QUICKSTART)
    if page.name == "finetuning.md":
        check_what_fine_tuning_left(folder)


def check_what_fine_tuning_left(folder: Path) -> None:
    import ferzoo

    assert (folder / "confusion.png").is_file()
    from_folder = ferzoo.Predictor(folder / "runs" / "avatar", detect=False)
    assert from_folder.labels == CLASSES
    from onnxruntime import InferenceSession

    picture = np.asarray(Image.open(folder / "faces" / "test" / "wink" / "0.png"))
    session = InferenceSession(str(folder / "avatar.onnx"), providers=["CPUExecutionProvider"])
    [scores] = session.run(None, {session.get_inputs()[0].name: picture[None]})[0]
    (face,) = from_folder(picture)
    assert dict(zip(CLASSES, scores.tolist(), strict=True)) == pytest.approx(face.scores, abs=0.02)


def test_every_python_block_of_the_quickstart_says_that_it_runs() -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    assert len(re.findall(r"^<!-- test: .+ -->\n```python$", text, re.M)) == len(re.findall(r"^```python$", text, re.M))


def test_four_guides_lead_from_the_landing_page() -> None:
    text = (DOCS / "guides" / "index.md").read_text(encoding="utf-8")
    for name in ("practitioner", "researcher", "author", "publisher"):
        assert f"({name}.md)" in text
