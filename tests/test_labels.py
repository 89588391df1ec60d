"""The orders of classes, against what the data sets' own papers and files say."""

from __future__ import annotations

import pytest

from ferzoo import labels
from ferzoo.errors import UnknownNameError
from ferzoo.labels import LABELS, label_names


@pytest.mark.parametrize(
    ("dataset", "first", "last", "count"),
    [
        ("fer2013", "angry", "neutral", 7),
        ("ferplus", "neutral", "contempt", 8),
        ("rafdb", "surprise", "neutral", 7),
        ("affectnet7", "neutral", "anger", 7),
        ("affectnet8", "neutral", "contempt", 8),
        ("kdef", "afraid", "surprised", 7),
    ],
)
def test_order_and_count(dataset: str, first: str, last: str, count: int) -> None:
    names = label_names(dataset)
    assert (names[0], names[-1], len(names)) == (first, last, count)


@pytest.mark.parametrize("dataset", sorted(LABELS))
def test_names_are_distinct_and_lower_case(dataset: str) -> None:
    names = label_names(dataset)
    assert len(set(names)) == len(names)
    assert all(name == name.lower().strip() for name in names)


def test_the_votes_of_ferplus_begin_with_its_classes() -> None:
    # The columns of fer2013new.csv after Usage and Image name.
    header = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    assert labels.FERPLUS_VOTES == tuple(header.split(","))
    assert labels.FERPLUS == labels.FERPLUS_VOTES[:8]


def test_an_unknown_data_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'ferplus'"):
        label_names("fer+")
    with pytest.raises(UnknownNameError, match="'rafdb'"):
        label_names("RAF-DB")
