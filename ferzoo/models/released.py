"""Names in the authors' released checkpoints of the MobileFaceNet family, and ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from re import Match, escape

from .build import Rename

__all__ = ["MOBILEFACENET_PARTS", "backbone_renames", "gdconv_renames"]

#: Prefixes of the widely used PyTorch MobileFaceNet, which MFN's release keeps.
MOBILEFACENET_PARTS = (
    "conv1",
    "conv2_dw",
    "conv_23",
    "conv_3",
    "conv_34",
    "conv_4",
    "conv_45",
    "conv_5",
    "conv_6_sep",
)


def _residual(stage: int, match: Match[str]) -> str:
    return f"stages.{stage}.{int(match[1]) + 1}."


def backbone_renames(parts: Sequence[str]) -> list[Rename]:
    """Rules for stem, three stages and final convolution.

    Args:
        parts: Released prefixes in order: stem convolution, stem depthwise convolution, then for each
            stage its downsampling bottleneck and its residual ones, and the final convolution.
    """
    stem, stem_dw, *stages, final = parts
    rules: list[Rename] = [(rf"^{escape(stem)}\.", "stem.conv."), (rf"^{escape(stem_dw)}\.", "stem.conv_dw.")]
    for i, (down, residual) in enumerate(zip(stages[::2], stages[1::2], strict=True)):
        rules.append((rf"^{escape(down)}\.", f"stages.{i}.0."))
        # Our stage counts its downsampling block too.
        rules.append((rf"^{escape(residual)}\.model\.(\d+)\.", partial(_residual, i)))
    rules += [
        (rf"^{escape(final)}\.", "final_conv."),
        (r"^(stages\.\d+\.\d+)\.CA\.conv2\.", r"\1.att.conv_h."),
        (r"^(stages\.\d+\.\d+)\.CA\.conv3\.", r"\1.att.conv_w."),
        (r"^(stages\.\d+\.\d+)\.CA\.", r"\1.att."),
        (r"^(stages\.\d+\.\d+)\.conv_dw\.mixed_depthwise_conv\.", r"\1.mix.convs."),
        (r"^(stages\.\d+\.\d+)\.conv\.", r"\1.expand."),
        (r"^(stages\.\d+\.\d+)\.project\.conv\.", r"\1.project.c."),
        (r"\.prelu\.", ".act."),
    ]
    return rules


def gdconv_renames(pool: str) -> list[Rename]:
    """Rules for the global depthwise convolution and the embedding.

    Args:
        pool: Our prefix of the `GDConvHead`.
    """
    return [
        (r"^conv_6_dw\.conv\.", f"{pool}.conv.c."),
        (r"^conv_6_dw\.bn\.", f"{pool}.conv.bn."),
        (r"^linear\.", f"{pool}.fc."),
        (r"^bn\.", f"{pool}.bn."),
    ]
