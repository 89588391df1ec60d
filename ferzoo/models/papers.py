"""What the papers print of each network's size, beside which `ferzoo info` puts what is measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAPERS", "Paper"]


@dataclass(frozen=True)
class Paper:
    """Printed figures, and the setting in which they hold.

    Attributes:
        source: Where they are printed.
        input_size: Channels, height and width there.
        num_classes: Classes there; 0 where the classifier is not counted.
        parameters: Printed number of parameters, None where there is none.
        flops: Printed multiply-adds, None where there is none.
        note: Why the figures differ, where that is known.
    """

    source: str
    input_size: tuple[int, int, int]
    num_classes: int
    parameters: float | None = None
    flops: float | None = None
    note: str = ""


PAPERS: dict[str, Paper] = {
    "lfnsb": Paper("Chen & Huang 2024", (3, 112, 112), 7, 2.676e6, 397.35e6),
    "lfnsb_concat": Paper(
        "Chen & Huang 2024",
        (3, 112, 112),
        7,
        2.676e6,
        397.35e6,
        "The text describes this network; the printed figures are those of lfnsb, the released one.",
    ),
    "lfn": Paper("Chen & Huang 2024", (3, 112, 112), 7, None, None, "The paper prints no figure for LFN alone."),
    "mfn": Paper(
        "Zhang et al. 2023",
        (3, 112, 112),
        0,
        3.973e6,
        550.74e6,
        "The released network, whose goldens match, has more parameters than the paper prints.",
    ),
    "mobilefacenet": Paper(
        "the tables of later papers",
        (3, 112, 112),
        0,
        1.148e6,
        230.34e6,
        "The width of the embedding behind the printed count is not stated; at 512 it is 1,200,512.",
    ),
    "ddamfn": Paper(
        "Zhang et al. 2023",
        (3, 112, 112),
        7,
        4.11e6,
        551.22e6,
    ),
    "dan": Paper("the tables of later papers", (3, 224, 224), 7, 19.72e6, 2.23e9),
    "scn": Paper("the tables of later papers", (3, 224, 224), 7, 11.18e6, 1.82e9),
    "ran": Paper(
        "the tables of later papers",
        (3, 224, 224),
        7,
        11.19e6,
        14.55e9,
        "Six times the FLOPs of ResNet-18 are 10.9 G; how the printed ones were counted is not stated.",
    ),
    "dacl": Paper(
        "the tables of later papers",
        (3, 224, 224),
        7,
        103.04e6,
        1.91e9,
        "The printed FLOPs count the attention, which only the loss is given; the forward pass leaves it out.",
    ),
    "ma_net": Paper("the tables of later papers", (3, 224, 224), 7, 50.54e6, 3.65e9),
    "lanmsff": Paper("Ezati et al. 2024, arXiv 2403.14318", (1, 64, 64), 8, 0.36e6),
}
