"""What torch compiles for this processor, in earnest: an AOTInductor file, and a measured network."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import ferzoo
from ferzoo.deploy.bench import bench
from ferzoo.deploy.formats import FORMATS
from ferzoo.registry.load import load_model

CXX = shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))
HEADER = Path(sysconfig.get_path("include"), "Python.h")
pytestmark = pytest.mark.skipif(
    not (CXX and HEADER.is_file()), reason="compiling takes a C++ compiler and Python's headers"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoint folder of a transformer without its blocks: each kernel takes seconds to compile."""
    size = {"depth": 0, "embed_dim": 16, "num_heads": 2, "img_size": 32}
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3, **size)
    cfg = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 3}
    config = {"architecture": "test_vit", "num_classes": 3, "pretrained_cfg": cfg, "model_args": size}
    path = tmp_path / "network"
    path.mkdir()
    save_file(model.state_dict(), path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def test_a_compiled_file_gives_what_the_network_gives(folder: Path, tmp_path: Path) -> None:
    from torch._inductor import config

    path = tmp_path / "net.pt2"
    with config.patch({"cpp.vec_isa_ok": False}):  # plain code: which vector units there are takes long to find out
        done = ferzoo.export(folder, path, "aotinductor")
    assert done.format == "aotinductor" and done.relative < 1e-4 and done.size_bytes == path.stat().st_size
    run, eager = FORMATS["aotinductor"].load(path), load_model(folder).eval()
    for count in (1, 2, 7, 5000):
        x = torch.randn(count, 3, 32, 32)
        with torch.no_grad():
            assert torch.allclose(run(x), eager(x), atol=1e-5)


def test_a_compiled_network_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each process has a cache of its own, and nothing to gain from what it prepares for more kernels.
    for name, value in {"VEC_ISA_OK": "0", "CPP_CACHE_PRECOMPILE_HEADERS": "0", "COMPILE_THREADS": "1"}.items():
        monkeypatch.setenv(f"TORCHINDUCTOR_{name}", value)
    [row] = bench([str(folder)], ["compiled"], rounds=1, runs=2, threads=1).rows
    assert row.error == "" and row.trained and row.runtime == "compiled" and row.input == (3, 32, 32)
    assert row.p50_ms and row.cold_start_s and row.p50_ms < 1000 * row.cold_start_s
