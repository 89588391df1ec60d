"""What a run leaves beside its weights: its environment, its history and its logs."""

from __future__ import annotations

import csv
import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from noise import faces, small_recipe

import ferzoo
from ferzoo.data import processors
from ferzoo.data.processors import processor
from ferzoo.train.loop import train
from ferzoo.train.recipe import Recipe
from ferzoo.train.records import environment, git_revision
from ferzoo.weights.folders import sha256_of


def git(folder: Path, *command: str) -> str:
    options = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *options, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_run_keeps_its_environment_and_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    recipe = Recipe(
        model="test_resnet", out=str(tmp_path), epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu",
        loss="ce + 0.01*center",
    )  # fmt: skip
    train(recipe, faces={"train": faces(16, 0), "validation": faces(8, 1)})
    found = json.loads((tmp_path / "environment.json").read_text())
    assert found["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["packages"]["ferzoo"] == ferzoo.__version__ and found["python"].count(".") == 2
    assert found["variables"]["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1" and "SECRET_TOKEN" not in found["variables"]
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = json.loads((tmp_path / "history.json").read_text())
    assert [float(row["terms.center"]) for row in rows] == [entry["terms"]["center"] for entry in history]
    assert list((tmp_path / "tensorboard").iterdir())


def test_the_run_keeps_a_model_card(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my notes")
    splits = {"train": faces(16, 0), "validation": faces(8, 1)}
    for name in ("run", "mine"):
        train(small_recipe(tmp_path / name, dataset="rafdb"), faces=splits)
    assert (tmp_path / "mine" / "README.md").read_text() == "my notes"
    card = ModelCard.load(tmp_path / "run" / "README.md")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    (result,) = [r for r in card.data.eval_results if r.metric_type == "accuracy" and r.dataset_config == "all rows"]
    assert (result.metric_value, result.dataset_type) == (metrics["accuracy"], "rafdb")
    assert 'timm.create_model("local-dir:FOLDER", pretrained=True)' in card.text and "hf-hub" not in card.text
    for file in ("model.safetensors", "config.json"):
        assert f"| `{file}` | `{sha256_of(tmp_path / 'run' / file)}` |" in card.text


def test_a_run_ends_well_without_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").mkdir()
    train(small_recipe(tmp_path, epochs=1), faces={"train": faces(16, 0), "validation": faces(8, 1)})
    assert "no README.md was written: " in capsys.readouterr().err + capsys.readouterr().out


def test_every_package_that_computes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"numba": "1.2.3", "pyarrow": "4.5"}

    def version(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(metadata, "version", version)
    packages = environment()["packages"]
    assert packages["numba"] == "1.2.3" and packages["pyarrow"] == "4.5"
    assert packages["tensorboard"] == packages["timm"] == "absent"


def test_the_libraries_of_a_gpu_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    found = environment()
    assert (found["gpu"], found["cuda"], found["cudnn"]) == ("A GPU", "12.8", "91002")


def test_the_processor_is_named_by_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(processors, "_CPUINFO", cpuinfo)
    assert processor()  # where there is no such file
    cpuinfo.write_text("processor\t: 0\nmodel\t\t: 143\nmodel name\t: A CPU: 2 GHz\nflags\t: a b\nmodel name\t: B\n")
    assert processor() == environment()["processor"] == "A CPU: 2 GHz"


@pytest.mark.parametrize(
    ("flags", "widest"),
    [
        ("fpu avx avx2", "AVX2"), ("avx2 avx512f avx512_vnni", "AVX-512"),
        ("avx2 avx512f avx512_bf16", "AVX-512 with bfloat16"), ("amx_bf16 avx512f avx512_bf16 avx2", "AMX"),
    ],
)  # fmt: skip
def test_the_processor_is_named_with_its_widest_instructions(
    flags: str, widest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(processors, "_CPUINFO", cpuinfo)
    cpuinfo.write_text(f"model name\t: A CPU\nflags\t\t: {flags}\nmodel name\t: B\nflags\t\t: amx_bf16\n")
    assert processor() == f"A CPU ({widest})"


def test_the_revision_says_whether_tracked_files_differ(tmp_path: Path) -> None:
    assert git_revision(tmp_path) == git_revision(tmp_path / "absent") == ""
    git(tmp_path, "init", "-q")
    assert git_revision(tmp_path) == ""  # nothing committed yet
    file = tmp_path / "inner" / "file"
    file.parent.mkdir()
    file.write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("b")
    assert len(commit) == 40 and git_revision(file.parent) == commit
    file.write_text("c")
    assert git_revision(file.parent) == f"{commit}+changes"
