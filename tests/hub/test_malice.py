"""Repositories and files made to do harm: nothing runs, nothing hangs, and nothing wrong is loaded."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hub_server import Hub
from safetensors.torch import load, save

import ferzoo
from ferzoo.errors import FerzooError

REPO = "someone/net"
NAME = f"hf-hub:{REPO}"


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


def config(**changes: Any) -> bytes:
    cfg = {"input_size": [1, 48, 48], "mean": [0.5], "std": [0.5], "num_classes": 8, "first_conv": "stem.conv1.conv"}
    cfg |= {"classifier": "head", "interpolation": "bicubic", "crop_pct": 1.0}
    return json.dumps({"architecture": "lanmsff", "num_classes": 8, "pretrained_cfg": cfg, **changes}).encode()


@pytest.fixture(scope="module")
def weights() -> bytes:
    return save(ferzoo.create_model("lanmsff").state_dict())


def header(entries: dict[str, Any], size: int | None = None, body: bytes = b"") -> bytes:
    """A safetensors file with a header of one's own, and a length that may not be its own."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        header({}, size=2**40),
        header({}, size=2**63),
        header({"a": {**TENSOR, "shape": [2**38], "data_offsets": [0, 2**40]}}, body=bytes(16)),
        header({"a": {**TENSOR, "data_offsets": [-16, 0]}}, body=bytes(16)),
        header({"a": {**TENSOR, "data_offsets": [16, 0]}}, body=bytes(16)),
        header({"a": TENSOR, "b": TENSOR}, body=bytes(16)),
        header({"../../a": TENSOR}, body=bytes(16)),
        header({"a": {**TENSOR, "dtype": "O"}}, body=bytes(16)),
        b"[" * 200_000,
    ],
    ids=[
        "empty", "zeros", "header of 1 TB", "header of 8 EB", "tensor of 1 TB", "negative offsets", "reversed offsets",
        "overlapping", "name with a path", "unknown type", "nested",
    ],
)  # fmt: skip
def test_weights_that_are_none(hub: Hub, content: bytes) -> None:
    hub.add(REPO, {"model.safetensors": content, "config.json": config()})
    with pytest.raises(FerzooError, match="cannot be loaded|does not fit"):
        ferzoo.create_model(NAME, pretrained=True)


def test_a_pickle_disguised_as_safetensors_does_not_run(hub: Hub, tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"w": Payload(made)}, tmp_path / "zip")
    for content in (pickle.dumps(Payload(made)), (tmp_path / "zip").read_bytes()):
        hub.add(REPO, {"model.safetensors": content, "config.json": config()})
        with pytest.raises(FerzooError, match="cannot be loaded"):
            ferzoo.create_model(NAME, pretrained=True)
        assert not made.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "../../lanmsff"}, "Unknown model"),
        ({"architecture": "os.system"}, "Unknown model"),
        ({"architecture": ["lanmsff"]}, '"architecture"'),
        ({"num_classes": 10**12}, "num_classes must be 0 to 100,000"),
        ({"num_classes": -1}, "num_classes must be"),
        ({"model_args": {"num_classes": 10**12}}, "num_classes must be"),
        ({"model_args": {"img_size": 10**9}}, "input_size and img_size"),
        ({"model_args": {"in_chans": 10**9}}, "input_size and img_size"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, '"model_args" may not hold checkpoint_path'),
        ({"model_args": {"pretrained_cfg_overlay": {"file": "x.pth"}}}, "may not hold pretrained_cfg_overlay"),
        ({"model_args": {"pretrained_strict": False}}, '"model_args" may not hold pretrained_strict'),
        ({"model_args": {"out_indices": [9], "feature_cfg": None}}, "may not hold feature_cfg, out_indices"),
        ({"model_args": {"nonsense": 1}}, "nonsense"),
        ({"model_args": {"nonsense": {"a": 1}}}, "texts, numbers up to 100,000 and lists"),
        ({"model_args": {"nonsense": 10**7}}, "texts, numbers up to 100,000 and lists"),
        ({"model_args": {"nonsense": [1] * 10**4}}, "texts, numbers up to 100,000 and lists"),
        ({"model_args": {"num_classes": 9}}, "two class counts: num_classes 8, in model_args 9"),
        ({"model_args": {"img_size": [[[[9**9]]]]}}, "input_size and img_size"),
        ({"architecture": "q" * 101}, "has 101 letters"),
        ({"filler": "a" * 1_000_001}, "at most 1,000,000"),
        ({"model_args": [1]}, "must be objects"),
        ({"pretrained_cfg": {"input_size": "huge"}}, "input_size must be"),
        ({"pretrained_cfg": {}}, "input_size must be"),
        ({"pretrained_cfg": {"input_size": [1, 48, 48], "std": [0]}}, "std must be a list of numbers above 0"),
        ({"pretrained_cfg": {"input_size": [1, 48, 48], "mean": [float("nan")]}}, "mean must be a list of numbers"),
        ({"pretrained_cfg": {"input_size": [1, 48, 48], "label_names": "abcdefgh"}}, "label_names must be a list"),
        ({"pretrained_cfg": {"input_size": [1, 48, 48], "label_names": [1] * 8}}, "label_names must be a list"),
        ({"pretrained_cfg": {"input_size": [1, 48, 48], "classifier": {"a": 1}}}, "classifier must be a name"),
        ({"ferzoo": {"sha256": "0" * 64}}, "sha256"),
        ({"ferzoo": {"sha256": ["0" * 64]}}, "ferzoo.sha256 must be 64 hexadecimal digits"),
        ({"architecture": "other_net", "ferzoo": {"package": {"name": "ferzoo-other"}}}, "pip install ferzoo-other"),
    ],
)
def test_configs_that_ask_for_too_much(hub: Hub, weights: bytes, changes: dict[str, Any], message: str) -> None:
    hub.add(REPO, {"model.safetensors": weights, "config.json": config(**changes)})
    with pytest.raises(FerzooError, match=message):
        ferzoo.create_model(NAME, pretrained=True)


@pytest.mark.parametrize("name", ["x; rm -rf /", "p" * 101, "--index-url=http://evil", "ferzoo", "", None, {"a": 1}])
def test_a_name_that_is_no_package_is_not_repeated(hub: Hub, weights: bytes, name: Any) -> None:
    changes = {"architecture": "other_net", "ferzoo": {"package": {"name": name}}}
    hub.add(REPO, {"model.safetensors": weights, "config.json": config(**changes)})
    with pytest.raises(FerzooError) as caught:
        ferzoo.create_model(NAME, pretrained=True)
    assert "pip install" not in str(caught.value) and "evil" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b'{"architecture": ' + b"[" * 100_000], ids=str)
def test_configs_that_are_none(hub: Hub, weights: bytes, content: bytes) -> None:
    hub.add(REPO, {"model.safetensors": weights, "config.json": content})
    with pytest.raises(FerzooError, match=r"config\.json"):
        ferzoo.create_model(NAME, pretrained=True)


def test_a_config_cannot_point_elsewhere(hub: Hub, weights: bytes, tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"w": Payload(made)}, tmp_path / "evil.pth")
    cfg = json.loads(config())["pretrained_cfg"]
    cfg |= {"file": str(tmp_path / "evil.pth"), "url": "http://127.0.0.1:1/evil.pth", "hf_hub_id": "evil/evil"}
    cfg |= {"source": "file", "custom_load": True, "state_dict": {"head.bias": [1]}}
    hub.add(REPO, {"model.safetensors": weights, "config.json": config(pretrained_cfg=cfg)})
    ferzoo.load_plugins()
    with pytest.raises(FerzooError, match="evil.pth is no safetensors file"):
        timm.create_model(NAME, pretrained=True)
    state = [ferzoo.create_model(NAME, pretrained=True).state_dict()]
    cfg.pop("file")
    hub.add(REPO, {"config.json": config(pretrained_cfg=cfg)})
    state += [factory(NAME, pretrained=True).state_dict() for factory in (ferzoo.create_model, timm.create_model)]
    assert all(torch.equal(tensor, own[name]) for name, tensor in load(weights).items() for own in state)
    assert not made.exists()


@pytest.mark.parametrize("name", ["HF-HUB:{}", "Hf_Hub:{}", "timm:HF-HUB:{}", "timm:{}", "hub:{}", "https://hf.co/{}"])
def test_no_way_of_writing_the_name_loads_a_pickle(hub: Hub, tmp_path: Path, name: str) -> None:
    torch.save({"w": Payload(tmp_path / "made")}, tmp_path / "evil.pth")
    hub.add(REPO, {"pytorch_model.bin": (tmp_path / "evil.pth").read_bytes(), "config.json": config()})
    with pytest.raises(FerzooError, match=r"holds no model\.safetensors|Unknown source|Write hf-hub:|Unknown model"):
        ferzoo.create_model(name.format(REPO), pretrained=True)
    assert not hub.seen("pytorch_model") and not (tmp_path / "made").exists()


def test_whole_numbers_are_no_weights(hub: Hub, weights: bytes) -> None:
    whole = {k: t.to(torch.int32) if k == "head.bias" else t for k, t in load(weights).items()}
    hub.add(REPO, {"model.safetensors": save(whole), "config.json": config()})
    with pytest.raises(FerzooError, match=r"whole numbers for real ones, or the other way: head\.bias"):
        ferzoo.create_model(NAME, pretrained=True)
