"""Two processes at one file of rows, and file systems that know no locks."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from ferzoo.errors import FerzooError
from ferzoo.predict.scoring_journal import Output

fcntl: Any = pytest.importorskip("fcntl", reason="needs a Unix")


def begin(path: Path, resume: bool = False) -> Output:
    return Output(path, {"batch_size": 4}, b"head\n", resume, path)


def test_the_second_is_turned_away(tmp_path: Path) -> None:
    first = begin(tmp_path / "r.csv")
    with pytest.raises(FerzooError, match="another process"):
        begin(tmp_path / "r.csv", resume=True)
    first.write(b"row\n", images=1)
    first.commit()
    first.close()
    assert begin(tmp_path / "r.csv", resume=True).state.images == 1


@pytest.mark.parametrize("finished", [False, True])
def test_what_the_first_does_before_it_lets_go_counts(tmp_path: Path, monkeypatch: Any, finished: bool) -> None:
    first = begin(tmp_path / "r.csv")
    first.write(b"one\n", images=1)
    first.commit()

    def let_go(*_: object) -> None:
        """The first goes on after the second has looked at the journal, and ends when that asks for the lock."""
        first.write(b"two\n", images=2)
        first.finish(lambda: None) if finished else first.commit()
        first.close()

    monkeypatch.setattr(fcntl, "flock", let_go)
    second = begin(tmp_path / "r.csv", resume=True)
    second.close()
    assert (second.state.images, second.state.finished) == (2, finished)
    assert (tmp_path / "r.csv").read_bytes() == b"head\none\ntwo\n"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: Any) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(UserWarning, match="r.csv cannot be locked .No locks available.: let no second process"):
        begin(tmp_path / "r.csv").close()
    assert json.loads((tmp_path / "r.csv.progress").read_text())["state"]["size"] == 5
