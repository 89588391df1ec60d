"""Every registered block against what networks expect of one."""

from __future__ import annotations

import pytest

import ferzoo
from ferzoo.errors import InputSizeError
from ferzoo.testing import check_block


@pytest.mark.parametrize("name", ferzoo.list_blocks())
def test_a_block_keeps_the_contract(name: str) -> None:
    check_block(name)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("mass_att", {}, (2, 8, 7, 5)),
        ("coord_att", {"channels": 64}, (2, 64, 3, 9)),
        ("spatial_bias", {"size": 3}, (2, 12, 5, 7)),
        ("mixconv", {"splits": (2, 3, 4), "kernel_sizes": (3, 5, 7), "stride": 1}, (2, 9, 6, 9)),
        ("gdconv_head", {"embed_dim": 0}, None),
        ("rep_vgg_dw", {"kernel_size": 5}, (2, 8, 4, 6)),
    ],
)
def test_and_so_with_other_arguments(name: str, arguments: dict[str, object], size: tuple[int, ...] | None) -> None:
    check_block(name, input_size=size, skip=("script", "export"), **arguments)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one split a kernel size, got 2 and 1"):
        ferzoo.create_block("mixconv", (4, 4), (3,))
    with pytest.raises(ValueError, match="stride 1 and equal widths, got 2, 8 and 8"):
        ferzoo.create_block("mixconv_bottleneck", 8, 8, (8,), (3,), stride=2, residual=True)
    with pytest.raises(InputSizeError, match=r"must know its size; got \(0, 0\)"):
        ferzoo.create_block("gdconv_head", 8, (0, 0))
