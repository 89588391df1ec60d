"""Class names and their order in each dataset, in one place.

Sources: FER-2013 (Goodfellow et al. 2013), FERPlus (Barsoum et al. 2016), RAF-DB (Li et al. 2017),
AffectNet (Mollahosseini et al. 2017), KDEF (Lundqvist et al. 1998).
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import DataError, UnknownNameError

__all__ = [
    "AFFECTNET7",
    "AFFECTNET8",
    "FER2013",
    "FERPLUS",
    "FERPLUS_VOTES",
    "KDEF",
    "LABELS",
    "RAFDB",
    "SYNONYMS",
    "expression",
    "label_names",
    "map_labels",
]

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

#: Words for one expression in class names and folder names; the key is FERPlus' own name.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "neutral": ("neutral", "neutrality"),
    "happiness": ("happiness", "happy", "joy", "joyful"),
    "surprise": ("surprise", "surprised"),
    "sadness": ("sadness", "sad"),
    "anger": ("anger", "angry"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "afraid", "fearful", "scared"),
    "contempt": ("contempt", "contemptuous"),
}
_EXPRESSIONS = {word: name for name, words in SYNONYMS.items() for word in words}


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


def expression(name: str) -> str:
    """The key of `SYNONYMS` that `name` stands for, or else the name itself; case and outer spaces are ignored."""
    word = name.strip().lower()
    return _EXPRESSIONS.get(word, word)


def map_labels(source_names: Sequence[str], target_names: Sequence[str]) -> tuple[int, ...]:
    """For each class of one label set its index in another, where the same expression may have another name.

    Args:
        source_names: Class names to map, for example those of a data set.
        target_names: Class names to map to, for example those of a network. Where two of them stand for one
            expression, the one that is spelled alike wins, else the first.

    Returns:
        One index into `target_names` a source class, or -1 where the target has no such class: from AffectNet's 8
        classes to its 7, contempt.

    Raises:
        DataError: If no class fits.

    Examples:
        >>> map_labels(("happy", "sad", "contempt"), ("sadness", "happiness"))
        (1, 0, -1)
    """
    exact: dict[str, int] = {}
    synonym: dict[str, int] = {}
    for index, name in enumerate(target_names):
        exact.setdefault(name.strip().lower(), index)
        synonym.setdefault(expression(name), index)
    indices = tuple(exact.get(name.strip().lower(), synonym.get(expression(name), -1)) for name in source_names)
    if all(index < 0 for index in indices):
        raise DataError(
            f"None of the classes {', '.join(source_names) or '(none)'} is among "
            f"{', '.join(target_names) or '(none)'}: the two label sets have no expression in common. "
            "Rename the classes, or map them by hand."
        )
    return indices
