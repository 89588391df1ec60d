"""Class names and their order in each dataset, in one place.

Sources: FER-2013 (Goodfellow et al. 2013), FERPlus (Barsoum et al. 2016), RAF-DB (Li et al. 2017),
AffectNet (Mollahosseini et al. 2017), KDEF (Lundqvist et al. 1998).
"""

from __future__ import annotations

from .errors import UnknownNameError

__all__ = ["AFFECTNET7", "AFFECTNET8", "FER2013", "FERPLUS", "FERPLUS_VOTES", "KDEF", "LABELS", "RAFDB", "label_names"]

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
#: The ten columns that annotators of FERPlus voted on; the first eight are the classes.
FERPLUS_VOTES = (*FERPLUS, "unknown", "NF")
RAFDB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
AFFECTNET8 = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
AFFECTNET7 = AFFECTNET8[:7]
KDEF = ("afraid", "angry", "disgusted", "happy", "neutral", "sad", "surprised")

LABELS: dict[str, tuple[str, ...]] = {
    "fer2013": FER2013,
    "ferplus": FERPLUS,
    "rafdb": RAFDB,
    "affectnet7": AFFECTNET7,
    "affectnet8": AFFECTNET8,
    "kdef": KDEF,
}


def label_names(dataset: str) -> tuple[str, ...]:
    """Class names of `dataset` in the order of its class indices.

    Args:
        dataset: A key of `LABELS`, for example ``"ferplus"``.

    Raises:
        UnknownNameError: If no such dataset is known; names the nearest.
    """
    try:
        return LABELS[dataset]
    except KeyError:
        raise UnknownNameError("label set", dataset, LABELS) from None
