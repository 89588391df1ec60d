"""Parameter counts, exactly those of the papers' and the releases' networks."""

from __future__ import annotations

import pytest

import ferzoo


def parameters(name: str, **kwargs: int) -> int:
    return sum(p.numel() for p in ferzoo.create_model(name, **kwargs).parameters())


@pytest.mark.parametrize(
    ("name", "num_classes", "expected"),
    [
        ("lfn", 0, 2_736_372),
        ("lfn", 7, 2_738_171),
        ("lfnsb", 7, 2_676_147),
        ("lfnsb_concat", 7, 2_692_915),
        ("mfn", 0, 4_164_264),
        ("lanmsff", 8, 356_451),
    ],
)
def test_counts(name: str, num_classes: int, expected: int) -> None:
    assert parameters(name, num_classes=num_classes) == expected


@pytest.mark.parametrize(("embed_dim", "millions"), [(128, "1.003"), (256, "1.069"), (512, "1.2005")])
def test_mobilefacenet_counts_by_its_embedding(embed_dim: int, millions: str) -> None:
    places = len(millions.partition(".")[2])
    assert f"{parameters('mobilefacenet', num_classes=0, embed_dim=embed_dim) / 1e6:.{places}f}" == millions


@pytest.mark.parametrize("name", ["mfn", "mobilefacenet"])
def test_the_embedding_is_256_wide_unless_told(name: str) -> None:
    assert parameters(name, num_classes=0) == parameters(name, num_classes=0, embed_dim=256)


def test_lanmsff_holds_2112_numbers_of_batchnorm_statistics() -> None:
    buffers = dict(ferzoo.create_model("lanmsff").named_buffers())
    assert sum(b.numel() for name, b in buffers.items() if "running" in name) == 358_563 - 356_451
