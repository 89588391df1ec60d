"""What the messages say, and what each error can be caught as."""

from __future__ import annotations

import inspect

import pytest

from ferzoo import errors
from ferzoo.errors import FerzooError, MissingExtraError, UnknownNameError, nearest


def test_every_exception_is_public_and_a_ferzoo_error() -> None:
    defined = {n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, Exception)}
    assert defined | {"nearest"} == set(errors.__all__)
    warnings = {"PluginWarning", "DataWarning", "CheckpointWarning", "VideoWarning"}
    for name in defined - warnings:
        assert issubclass(getattr(errors, name), FerzooError)
    for name in warnings:
        assert issubclass(getattr(errors, name), UserWarning)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UnknownNameError", ValueError),
        ("PluginLoadError", ImportError),
        ("RegistrationError", ValueError),
        ("InputSizeError", ValueError),
        ("CheckpointError", RuntimeError),
        ("WeightsNotFoundError", errors.CheckpointError),
        ("WeightsCorruptError", errors.CheckpointError),
        ("MissingExtraError", ImportError),
        ("MissingPackageError", ImportError),
    ],
)
def test_an_error_can_be_caught_as_the_builtin_that_it_is(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize(
    ("asked", "known", "best"),
    [
        ("lfnbs", ["lfn", "lfnsb", "lanmsff"], "lfnsb"),
        ("LFNSB", ["lanmsff", "lfnsb"], "lfnsb"),
        ("raf-db", ["kdef", "RAFDB"], "RAFDB"),
    ],
)
def test_nearest_puts_the_best_first_and_keeps_its_spelling(asked: str, known: list[str], best: str) -> None:
    assert nearest(asked, known)[0] == best


def test_nearest_is_bounded_and_empty_where_nothing_is_near() -> None:
    assert len(nearest("net", [f"net{i}" for i in range(9)], count=2)) == 2
    assert nearest("zzz", ["lfn", "lanmsff"]) == []


def test_an_unknown_name_is_answered_with_the_nearest_and_a_hint() -> None:
    message = str(UnknownNameError("model", "lfnbs", ["lfnsb"], "See the list."))
    assert message == "Unknown model 'lfnbs'. Did you mean 'lfnsb'? See the list."
    assert "Did you mean" not in str(UnknownNameError("model", "zzz", ["lfnsb"]))


def test_a_missing_extra_is_named() -> None:
    message = str(MissingExtraError("Finding faces", "faces", "Or pass crops."))
    assert 'pip install "ferzoo[faces]"' in message and message.endswith("Or pass crops.")


def test_a_missing_package_is_named() -> None:
    assert str(errors.MissingPackageError("It", "datasets")) == "It needs the package 'datasets': pip install datasets."
