"""The orders of classes, against what the data sets' own papers and files say."""

from __future__ import annotations

import pytest

from ferzoo import labels
from ferzoo.errors import DataError, UnknownNameError
from ferzoo.labels import LABELS, label_names, map_labels


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


@pytest.mark.parametrize("source", sorted(LABELS))
@pytest.mark.parametrize("target", sorted(LABELS))
def test_the_data_sets_differ_in_contempt_alone(source: str, target: str) -> None:
    names, others = LABELS[source], LABELS[target]
    indices = map_labels(names, others)
    assert [n for n, i in zip(names, indices, strict=True) if i < 0] == (
        ["contempt"] if "contempt" in names and "contempt" not in others else []
    )
    # There and back again.
    back = map_labels(others, names)
    assert all(back[i] == n for n, i in enumerate(indices) if i >= 0)


def test_labels_are_mapped_by_meaning() -> None:
    # FER-2013: angry, disgust, fear, happy, sad, surprise, neutral. FERPlus: neutral, happiness, surprise, ...
    assert map_labels(labels.FER2013, labels.FERPLUS) == (4, 5, 6, 1, 3, 2, 0)
    assert map_labels(labels.KDEF, labels.AFFECTNET7) == (4, 6, 5, 1, 0, 2, 3)
    assert map_labels(labels.AFFECTNET8, labels.AFFECTNET7) == (0, 1, 2, 3, 4, 5, 6, -1)


def test_other_names_map_to_themselves_and_spelling_decides() -> None:
    assert map_labels(("Calm", " JOY ", "sleepy"), ("calm", "happy")) == (0, 1, -1)
    assert map_labels(("happy", "happiness", "joy"), ("happiness", "happy")) == (1, 0, 0)


def test_label_sets_without_a_common_class() -> None:
    with pytest.raises(DataError, match=r"None of the classes cat, dog is among happy, sad: .*by hand"):
        map_labels(("cat", "dog"), ("happy", "sad"))
    with pytest.raises(DataError, match=r"\(none\)"):
        map_labels((), ("happy",))


def test_no_word_stands_for_two_expressions() -> None:
    words = [word for group in labels.SYNONYMS.values() for word in group]
    assert len(words) == len(set(words))
    assert set(labels.SYNONYMS) == set(labels.FERPLUS)
    assert all(labels.expression(name) in labels.SYNONYMS for names in LABELS.values() for name in names)
