"""Repositories and files made to do harm: nothing runs, nothing hangs, and nothing wrong is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import Hub
from safetensors.torch import load, save

import ferzoo
from ferzoo.errors import FerzooError
from ferzoo.registry.folder import create_from_folder

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
        ({"model_args": {"nonsense": 1}}, "nonsense"),
        ({"model_args": [1]}, "must be objects"),
        ({"pretrained_cfg": {"input_size": "huge"}}, "input_size must be"),
        ({"pretrained_cfg": {}}, "input_size must be"),
        ({"ferzoo": {"sha256": "0" * 64}}, "sha256"),
        ({"architecture": "other_net", "ferzoo": {"package": {"name": "ferzoo-other"}}}, "pip install ferzoo-other"),
    ],
)
def test_configs_that_ask_for_too_much(hub: Hub, weights: bytes, changes: dict[str, Any], message: str) -> None:
    hub.add(REPO, {"model.safetensors": weights, "config.json": config(**changes)})
    with pytest.raises(FerzooError, match=message):
        ferzoo.create_model(NAME, pretrained=True)


@pytest.mark.parametrize("name", ["x; rm -rf /", "--index-url=http://evil", "ferzoo", "", None, {"a": 1}])
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
    cfg |= {"source": "file", "custom_load": True, "state_dict": {}}
    hub.add(REPO, {"model.safetensors": weights, "config.json": config(pretrained_cfg=cfg)})
    state = ferzoo.create_model(NAME, pretrained=True).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in load(weights).items())
    assert not made.exists()


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Change, cut, repeat, insert or exchange a few bytes; half of the changes hit the header."""
    data = bytearray(content)
    end = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(end if rng.random() < 0.5 else len(data)) if data else 0
        kind = rng.choice(("bit", "byte", "cut", "insert", "drop", "copy"))
        if kind == "bit" and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif kind == "byte" and data:
            data[place % len(data)] = rng.randrange(256)
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind == "drop":
            del data[place : place + rng.choice((1, 4, 100))]
        else:
            data[place : place + 16] = data[:16]
    return bytes(data)


def test_a_thousand_mutated_files(weights: bytes, tmp_path: Path) -> None:
    """Each is refused, or gives exactly the tensors that the file of this hash holds."""
    rng = random.Random(20261122)
    first = {name: tensor.clone() for name, tensor in load(weights).items()}
    loaded = refused = 0
    for _ in range(1000):
        content = mutated(rng, weights)
        (tmp_path / "model.safetensors").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        (tmp_path / "config.json").write_bytes(config(ferzoo={"sha256": sha256}))
        try:
            state = create_from_folder(tmp_path).state_dict()
        except FerzooError:
            refused += 1
            continue
        loaded += 1
        held = load(content)
        assert held.keys() == first.keys()
        assert all(torch.equal(state[name].nan_to_num(), held[name].nan_to_num()) for name in held)
    assert refused > 200 and loaded > 50
    # Under the hash of the true file none of them would have passed.
    (tmp_path / "config.json").write_bytes(config(ferzoo={"sha256": hashlib.sha256(weights).hexdigest()}))
    (tmp_path / "model.safetensors").write_bytes(mutated(rng, weights))
    with pytest.raises(FerzooError, match="sha256"):
        create_from_folder(tmp_path)
