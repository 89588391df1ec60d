"""Frames of files and cameras: times, colours, and what is said of those that are damaged."""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video_clips import RED, SIDE, find_squares, quarter_turn, scene, walk, write_clip

from ferzoo.errors import MissingExtraError, VideoError, VideoWarning
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.video_source import open_source

cv2: Any = pytest.importorskip("cv2", reason="comes with the extra faces")


@pytest.fixture
def predictor(colours: Any) -> Predictor:
    return Predictor(colours, detector=find_squares, margin=0)


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4"])
def test_a_file_gives_its_frames_in_rgb_with_their_times(tmp_path: Path, name: str) -> None:
    source = open_source(write_clip(tmp_path / name, walk(12), fps=12.5), None)
    assert (source.fps, source.total) == (12.5, 12)
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(12) * 0.08, abs=1e-3)
    for frame, expected in zip(frames, walk(12), strict=True):
        assert frame.rgb.dtype == np.uint8 and frame.rgb.flags.c_contiguous
        assert np.abs(frame.rgb.astype(int) - expected).mean() < 4
    assert source.problem is None
    source.close()


def test_the_number_of_frames_a_second_can_be_given(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", walk(3))
    assert [frame.time for frame in open_source(path, 2)] == [0, 0.5, 1]


def test_a_phones_video_is_turned_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", [scene((RED, 20, 10))] * 2)
    quarter_turn(path)
    frame = next(iter(open_source(path, None)))
    assert frame.rgb.shape == (200, 80, 3)
    # Clockwise, what was 10 px from the top is so from the right.
    (found,) = find_squares(frame.rgb)
    assert np.abs(np.array(found) - (80 - 10 - SIDE, 20, 80 - 10, 20 + SIDE)).max() <= 2


def test_what_is_no_video(predictor: Predictor, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", walk(12)).read_bytes()
    contents = {
        "empty.mp4": (b"", "empty"),
        "noise.mp4": (np.random.default_rng(0).bytes(5000), "is no video"),
        "notes.mp4": (b"not a video\n" * 100, "is no video"),
        "notes.txt": ("text that FFmpeg would draw: \u00e4\n".encode() * 100, "is no video"),
        "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nclip.mp4\n", "is no video"),
        "cut.mp4": (clip[: len(clip) // 2], "cut off"),
    }
    for name, (content, reason) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VideoError, match=rf"{name}: .*{reason}"):
            predictor.video(tmp_path / name)
    with pytest.raises(VideoError, match=r"gone\.mp4: cannot be read: No such file"):
        predictor.video(str(tmp_path / "gone.mp4"))
    with pytest.raises(VideoError, match="directory"):
        predictor.video(tmp_path)


def test_a_file_without_frames(predictor: Predictor, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [scene()])
    path.write_bytes(path.read_bytes().replace(b"00dc", b"XXXX"))
    with pytest.raises(VideoError, match="no frames|no video"):
        list(predictor.video(path))


def test_a_file_that_ends_too_early_keeps_what_there_is(predictor: Predictor, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", walk(40))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(VideoWarning, match=r"clip\.avi: is damaged: \d+ of 40 frames could be read") as told:
        frames = list(predictor.video(path))
    assert 10 < len(frames) < 25 and f" {len(frames)} of 40" in str(told[0].message)
    assert all(len(frame.faces) == 2 for frame in frames[:-1])


class Capture:
    """What OpenCV's VideoCapture is to its caller: frames that were made before; None is one that fails."""

    opened = True
    frames: list[Any] = []
    values: dict[int, float] = {}
    turn = threading.Semaphore(0)
    released: list[bool] = []

    def __init__(self, source: Any) -> None:
        self.left = list(self.frames)

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def get(self, what: int) -> float:
        return self.values.get(what, 0.0)

    def read(self) -> tuple[bool, Any]:
        self.turn.acquire(timeout=20)
        frame = self.left.pop(0) if self.left else None
        return frame is not None, None if frame is None else frame[:, :, ::-1]

    def release(self) -> None:
        self.released.append(True)


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[Capture]:
    kind = type("Fresh", (Capture,), {"turn": threading.Semaphore(1000), "released": [], "values": {}})
    monkeypatch.setattr(cv2, "VideoCapture", kind)
    return kind


def test_a_damaged_frame_is_passed_over(capture: type[Capture], predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_bytes(b"\0RIFF")
    capture.frames = [*walk(4), None, None, *walk(4)]
    capture.values = {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: 10.0}
    with pytest.warns(VideoWarning, match="8 of 10 frames could be read"):
        assert [frame.index for frame in predictor.video(tmp_path / "clip.avi")] == [0, 1, 2, 3, 6, 7, 8, 9]
    assert capture.released


def test_a_header_that_counts_too_many(capture: type[Capture], predictor: Predictor, tmp_path: Path) -> None:
    # An estimate that is 0.4 s too long is no damage; a count that cannot be true is none.
    (tmp_path / "clip.mkv").write_bytes(b"\0")
    capture.frames = walk(5)
    for count in (15.0, -9e18, 9e18):
        capture.values = {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: count}
        assert len(list(predictor.video(tmp_path / "clip.mkv"))) == 5


#: The beginning of a Matroska file up to its segment's size, and of an MP4.
MKV, MP4 = b"\x1aE\xdf\xa3\x81\0\x18S\x80g", b"\0\0\0\x0cftypisom"


@pytest.mark.parametrize(
    ("content", "known"),
    [
        (MKV + b"\x44\0" + bytes(1023), True),
        (MKV + b"\x44\0" + bytes(1024), False),
        (MKV + b"\x01" + b"\xff" * 7 + bytes(9), False),  # a stream, of unknown size
        (MKV + b"\0", False),
        (MP4 + b"\0\0\0\x09free." + b"\0\0\0\x20mdat" + bytes(23), True),
        (MP4 + b"\0\0\0\x09free." + b"\0\0\0\x20mdat" + bytes(24), False),
        (MP4 + b"\0\0\0\x01mdat" + b"\xff" * 8, True),
        (MP4 + b"\0\0\0\x01mdat" + (20).to_bytes(8, "big") + bytes(4) + b"\xff" * 9, False),  # and a maker's data
        (MP4 + b"\0\0\0\0mdat" + bytes(9), False),
        (b"RIFF\0\0\0\0AVI ", True),
        (b"G" + bytes(187), False),  # MPEG-TS
    ],
)
def test_frames_that_the_count_promises(
    capture: type[Capture], predictor: Predictor, tmp_path: Path, content: bytes, known: bool
) -> None:
    # Unless the end is known, the sound may go on for longer: the count is the duration times the rate.
    (tmp_path / "clip").write_bytes(content)
    capture.frames = walk(5)
    capture.values = {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: 75.0}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(list(predictor.video(tmp_path / "clip"))) == 5
    damaged = "is damaged: 5 of 75 frames could be read, the last one at 0.16 s."
    note = (
        "5 of about 75 frames could be read, the last one at 0.16 s: the sound may be longer, the picture may begin "
        "late, or the end is damaged."
    )
    assert [str(one.message) for one in told] == [f"{tmp_path / 'clip'}: {damaged if known else note}"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (6, "is damaged: 5 of 6 frames could be read, the last one at 0.16 s."),
        (5, "the file ends before its own end: 5 frames could be read, the last one at 0.16 s."),
        (0, "the file ends before its own end: 5 frames could be read, the last one at 0.16 s."),
    ],
)
def test_a_file_that_was_cut_off_is_told_however_little_is_missing(
    capture: type[Capture], tmp_path: Path, count: int, expected: str
) -> None:
    (tmp_path / "clip").write_bytes(MP4 + b"\0\0\0\x20mdat" + bytes(23))
    capture.frames = walk(5)
    capture.values = {cv2.CAP_PROP_FPS: 25.0, cv2.CAP_PROP_FRAME_COUNT: float(count)}
    source = open_source(tmp_path / "clip", None)
    assert len(list(source)) == 5
    assert (source.problem, source.note) == (f"{tmp_path / 'clip'}: {expected}", None)


def test_a_file_that_does_not_say_its_rate(capture: type[Capture], predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "clip.raw").write_bytes(b"\0")
    capture.frames = walk(3)
    for fps in (0.0, float("nan"), -1.0):
        capture.values = {cv2.CAP_PROP_FPS: fps}
        with pytest.raises(VideoError, match="does not say how fast .* give fps"):
            list(predictor.video(tmp_path / "clip.raw", batch_frames=1))
    assert [frame.time for frame in predictor.video(tmp_path / "clip.raw", fps=10)] == [0, 0.1, 0.2]


def test_a_camera_drops_what_is_stale(capture: type[Capture], predictor: Predictor) -> None:
    capture.frames, capture.turn = walk(10), threading.Semaphore(1)
    source = open_source(0, None)
    frames = predictor.video(source)
    assert next(frames).index == 0  # classified alone, without waiting for others
    late = threading.Event()
    capture.read, read = late_read(capture.read, 9, late), capture.read  # type: ignore[method-assign]
    for _ in range(8):
        capture.turn.release()
    assert late.wait(20)
    newest = next(frames)
    assert newest.index == 8 and np.array_equal(newest.rgb, walk(10)[8]) and newest.time > 0
    capture.read = read  # type: ignore[method-assign]
    for _ in range(9):
        capture.turn.release()
    with pytest.warns(VideoWarning, match="Camera 0 has stopped"):
        assert [frame.index for frame in frames] in ([9], [])
    assert capture.released


def late_read(read: Any, wanted: int, late: threading.Event) -> Any:
    """Sets the event when the camera asks for frame `wanted`: the ones before it have all been handed over."""

    def call(self: Capture) -> tuple[bool, Any]:
        if len(self.left) == len(self.frames) - wanted:
            late.set()
        return read(self)

    return call


def test_a_camera_that_is_left_is_let_go(capture: type[Capture], predictor: Predictor) -> None:
    capture.frames = walk(500)
    frames = predictor.video(0)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert capture.released and not [t for t in threading.enumerate() if t.name == "ferzoo camera 0"]


def test_a_camera_that_cannot_be_used(capture: type[Capture], predictor: Predictor) -> None:
    capture.frames = []
    with pytest.raises(VideoError, match="Camera 2 gives no frames"):
        list(predictor.video(2))
    capture.opened = False
    with pytest.raises(VideoError, match="Camera 2 cannot be opened"):
        predictor.video(2)


@pytest.mark.parametrize("number", [-1, 2**31, 10**30])
def test_a_number_that_no_camera_has(capture: type[Capture], predictor: Predictor, number: int) -> None:
    with pytest.raises(VideoError, match=f"numbered from 0 on: there is none with the number {number}"):
        predictor.video(number)
    with pytest.raises(VideoError, match="A video is .* not bool"):
        predictor.video(False)


def test_without_opencv(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    for source in (0, tmp_path / "clip.mp4"):
        with pytest.raises(MissingExtraError, match=r"ferzoo\[faces\]"):
            predictor.video(source)
    assert len(list(predictor.video(walk(2), fps=25))) == 2
