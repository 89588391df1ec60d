"""`convert`: every wrapping of a state dict is read; pickled objects and misfits are refused."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ferzoo
from ferzoo.errors import CheckpointError
from ferzoo.hub.convert import convert, read_state_dict


def released_lanmsff(num_classes: int) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """A network, and its weights with the classifier under its released name."""
    torch.manual_seed(0)
    model = ferzoo.create_model("lanmsff", num_classes=num_classes)
    state = dict(model.state_dict())
    state["dense_4.weight"], state["dense_4.bias"] = state.pop("head.weight"), state.pop("head.bias")
    return model, state


WRAPS = {
    "bare": lambda s: s,
    "model_state_dict": lambda s: {"model_state_dict": s, "epoch": 3},
    "state_dict": lambda s: {"state_dict": s, "best_acc": 0.9},
    "parallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "compiled in parallel": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("num_classes", [8, 5])
def test_every_wrapping(wrap: str, num_classes: int, tmp_path: Path) -> None:
    model, state = released_lanmsff(num_classes)
    torch.save(WRAPS[wrap](state), tmp_path / "in.pth")
    result = convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "lanmsff")
    assert result["num_classes"] == num_classes
    written = load_file(tmp_path / "out.safetensors")
    assert written.keys() == model.state_dict().keys()
    assert all(torch.equal(written[k], v) for k, v in model.state_dict().items())
    loaded = ferzoo.create_model("lanmsff", num_classes=num_classes, checkpoint_path=str(tmp_path / "out.safetensors"))
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.eval()(x), model.eval()(x))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = ferzoo.create_model("lanmsff").state_dict()
    state["head.bias"][2] = float("nan")
    torch.save(state, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="values that are not finite in head.bias"):
        convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "lanmsff")
    assert not (tmp_path / "out.safetensors").exists()
    state["head.bias"][2] = 0
    bn = next(name for name in state if name.endswith("running_mean"))
    state[bn][0] = float("inf")  # what is not learnt, as a mask, may hold infinities
    torch.save(state, tmp_path / "in.pth")
    assert convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "lanmsff")["tensors"] == len(state)


def test_embedding_networks_have_no_classes(tmp_path: Path) -> None:
    state = ferzoo.create_model("mobilefacenet", num_classes=0).state_dict()
    torch.save(state, tmp_path / "in.pth")
    assert convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "mobilefacenet")["num_classes"] == 0


@pytest.mark.parametrize("content", [nn.Linear(2, 2), {"state_dict": {"w": torch.zeros(1)}, "meter": nn.Linear(2, 2)}])
def test_pickled_module_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"pickled object.*state_dict\(\).*x\[KEY\]"):
        convert(tmp_path / "whole.pth", tmp_path / "out.safetensors", "lfnsb")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x80\x02}q\x00.", b"PK\x03\x04 truncated"])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"in\.pth (is damaged|holds no state dict)"):
        read_state_dict(tmp_path / "in.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ": it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", ": it is Git LFS's pointer"),
        (b"\n<!DOCTYPE html><html></html>", ": it is a web page"),
        (b"not a checkpoint at all", r"\.$"),
        (b"abc", r"\.$"),
        (b"\x80\x02X", r"\.$"),
    ],
)
def test_what_a_file_without_weights_is(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "in.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"in.pth is damaged or no PyTorch file{said}") as caught:
        read_state_dict(tmp_path / "in.pth")
    assert "weights_only" not in str(caught.value)
    if said.startswith(":"):
        (tmp_path / "in.pth").rename(tmp_path / "in.safetensors")
        with pytest.raises(CheckpointError, match=f"in.safetensors is no valid safetensors file{said}"):
            read_state_dict(tmp_path / "in.safetensors")


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("in.pth", "torch.load"),
        ("in.safetensors", "ferzoo.hub.convert.load_file"),
        ("in.pth", "pathlib.Path.open"),
        ("in.safetensors", "pathlib.Path.open"),
    ],
)
def test_a_file_that_cannot_be_read(name: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / name).write_bytes(b"abc")
    monkeypatch.setattr(by, refuse)
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: Permission denied"):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], {"state_dict": {"w": 3}}])
def test_files_without_tensors(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="state dict"):
        read_state_dict(tmp_path / "in.pth")


def test_misfits_write_nothing(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "in.safetensors")
    target = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointError, match="missing: stem"):
        convert(tmp_path / "in.safetensors", target, "lanmsff")
    with pytest.raises(CheckpointError, match="end in .safetensors"):
        convert(tmp_path / "in.safetensors", tmp_path / "out.pth", "lanmsff")
    with pytest.raises(CheckpointError, match="no file"):
        convert(tmp_path / "absent.pth", target, "lanmsff")
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]


def test_a_second_classifier_is_named(tmp_path: Path) -> None:
    _, state = released_lanmsff(8)
    state |= {"extra.weight": torch.zeros(3, 156), "extra.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="unexpected: extra.weight, extra.bias"):
        convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "lanmsff")
