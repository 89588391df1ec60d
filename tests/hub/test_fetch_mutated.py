"""A file of weights with changes at random: refused, or loaded exactly as it is."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load, save
from torch import nn

from ferzoo.errors import FerzooError
from ferzoo.models.build import build_model, convert_state_dict
from ferzoo.registry.folder import create_from_folder

NAME = "small_of_this_test"


def config(sha256: str) -> bytes:
    cfg = {"input_size": [1, 48, 48], "mean": [0.5], "std": [0.5], "num_classes": 8, "first_conv": "stem"}
    whole = {"architecture": NAME, "num_classes": 8, "pretrained_cfg": {**cfg, "classifier": "head"}}
    return json.dumps({**whole, "ferzoo": {"sha256": sha256}}).encode()


class Small(nn.Module):
    """A network of few tensors, built and loaded as those of the zoo are."""

    def __init__(self, num_classes: int = 8, in_chans: int = 1, global_pool: str = "avg") -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(in_chans, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, num_classes)
        self.num_classes, self.in_chans = num_classes, in_chans


def small_of_this_test(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return build_model(Small, NAME, pretrained, convert_state_dict, **kwargs)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Weights of a small network that timm knows in this test alone."""
    monkeypatch.setitem(timm.models._registry._model_entrypoints, NAME, small_of_this_test)
    return save(Small().state_dict())


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


def test_a_thousand_mutated_files(small: bytes, tmp_path: Path) -> None:
    """Each is refused, or gives exactly the tensors that the file of this hash holds."""
    rng = random.Random(20261122)
    first = {name: tensor.clone() for name, tensor in load(small).items()}
    loaded = refused = 0
    for _ in range(1000):
        content = mutated(rng, small)
        (tmp_path / "model.safetensors").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        (tmp_path / "config.json").write_bytes(config(sha256))
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
    (tmp_path / "config.json").write_bytes(config(hashlib.sha256(small).hexdigest()))
    (tmp_path / "model.safetensors").write_bytes(mutated(rng, small))
    with pytest.raises(FerzooError, match="sha256"):
        create_from_folder(tmp_path)
