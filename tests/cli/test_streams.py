"""A command whose output or messages nobody reads any more does its work all the same, and says so by its code."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferzoo.cli import list_names, predict
from ferzoo.cli.main import main
from ferzoo.cli.progress import ProgressLine
from ferzoo.train.processes import Processes


@contextlib.contextmanager
def unread() -> Iterator[io.TextIOWrapper]:
    """A pipe whose reader has gone, with the buffer that a real standard output has."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        # As Python opens its own: closing the stream leaves the descriptor.
        yield io.TextIOWrapper(os.fdopen(writer, "wb", closefd=False))
    finally:
        os.close(writer)


@pytest.fixture(params=["unread", "closed"])
def gone(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A stream that cannot be written to: as `| head` and as `>&-` leave it."""
    if request.param == "closed":
        yield None
        return
    with unread() as stream:
        yield stream


def test_output_alone_is_lost_quietly(
    gone: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", gone)
    assert main(["list"]) == 0
    assert sys.stdout is gone and capsys.readouterr().err == ""
    assert gone is None or gone.closed  # Python flushes it at its end, and fails, where it is open


def test_messages_end_nothing(gone: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: object) -> int:
        progress = ProgressLine()
        progress._next = 0.0
        progress("counting", 1, 2)
        print("a message", file=sys.stderr, flush=True)
        with ProgressLine() as second:
            second._next = 0.0
            second("counting", 2, 2)
        print("the output")
        return 0

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(sys, "stderr", gone)
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "the output\n"
    assert main(["train", "epoch=3"]) == 2


class Tee:
    """What is put in the place of standard error to keep its text as well: write and flush alone."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


class Full(Tee):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("kind", "kept"), [(Tee, "a message\nanother\n"), (Full, "a message\n")])
def test_a_replacement_of_standard_error_need_not_be_a_file(
    kind: type[Tee], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(args: object) -> int:
        ProgressLine()
        print("a message", file=sys.stderr, flush=True)
        ProgressLine()
        print("another", file=sys.stderr, flush=True)
        return 0

    stderr = kind()
    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(sys, "stderr", stderr)
    assert main(["list"]) == 0
    assert stderr.text == kept


class Shared(Tee):
    """On a full disk, and other threads write to it, too: while it fails, and while it is closed."""

    closed = False

    def write(self, text: str) -> int:
        if text == "a message":
            print("a thread's", file=sys.stderr)
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        self.closed = True
        print("another thread's", file=sys.stderr)


def test_standard_error_is_lost_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: object) -> int:
        print("a message", file=sys.stderr)
        print("the next", file=sys.stderr, flush=True)
        return 0

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(sys, "stderr", Shared())
    assert main(["list"]) == 0


def test_who_keeps_a_lost_standard_error_can_write_after_the_command(
    gone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []

    def run(args: object) -> int:
        kept.append(sys.stderr)
        print("a message", file=sys.stderr, flush=True)
        return 0

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(sys, "stderr", gone)
    assert main(["list"]) == 0
    kept[0].close()
    print("a message of a handler of logging", file=kept[0], flush=True)
    assert not kept[0].closed


def test_a_stream_that_is_not_there_is_one_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: object) -> int:
        subprocess.run([sys.executable, "-c", "print('a child')"], stdout=sys.stdout, stderr=sys.stderr, check=True)
        for stream in (sys.stdout, sys.stderr):
            stream.buffer.write(b"bytes")
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            assert stream.writable() and print("text", file=stream) is None
        return 0

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["list"]) == 0


def test_a_full_disk_is_told_after_the_reader_has_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        print("a row", flush=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(predict, "run", run)
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["predict", "a.jpg", "--save", "drawn"]) == 2
    assert capsys.readouterr().err == "ferzoo predict: No space left on device\n"


@pytest.mark.parametrize(("platform", "code"), [("win32", 0), ("linux", 2)])
@pytest.mark.parametrize("options", [[], ["--save", "drawn"]])
def test_a_broken_pipe_of_windows(
    options: list[str], platform: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pipe(Tee):
        def flush(self) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    def run(args: object) -> int:
        print("a row", flush=True)
        return 0

    monkeypatch.setattr(predict, "run", run)
    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr(sys, "platform", platform)
    assert main(["predict", "a.jpg", *options]) == code
    assert ("Invalid argument" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(("options", "finished"), [([], False), (["--save", "drawn"], True)])
def test_what_is_written_beside_the_output_is_whole(
    options: list[str], finished: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(args: object) -> int:
        for i in range(3):
            print("a row", flush=True)
            (tmp_path / f"{i}.png").touch()
        return 1

    monkeypatch.setattr(predict, "run", run)
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["predict", "a.jpg", *options]) == int(finished)
    assert len(list(tmp_path.iterdir())) == 3 * finished


def test_another_broken_pipe_is_no_reader_that_has_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        with unread() as stream:
            print("to a process", file=stream, flush=True)
        return 0

    monkeypatch.setattr(list_names, "run", run)
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "ferzoo list: Broken pipe\n"


def test_a_run_s_messages_end_no_run(gone: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    processes = Processes("cpu")
    monkeypatch.setattr(sys, "stderr", gone)
    processes.say("epoch 1/2")
    assert capsys.readouterr().out == ""


def test_the_encoding_of_a_pipe_that_files_go_beside_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: object) -> int:
        from ferzoo.cli.table import print_json

        print_json({"name": "Ä"})
        return 0

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr(predict, "run", run)
    for arguments in (["list"], ["predict", "a.jpg", "--save", "drawn"]):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
        assert main(arguments) == 0
        assert json.loads(out.getvalue()) == {"name": "Ä"} and b"\\u00c4" in out.getvalue()
