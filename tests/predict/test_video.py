"""`Predictor.video` on frames whose faces and scores are known."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from video_clips import BLUE, GREEN, RED, SIDE, find_squares, portrait, scene, slow_down, walk, write_clip

from ferzoo.errors import ImageError, VideoError
from ferzoo.predict.drawing import draw
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.video import TrackedFace, VideoFrame


@pytest.fixture
def predictor(colours: Any) -> Predictor:
    return Predictor(colours, detector=find_squares, margin=0)


def seen(frames: list[VideoFrame]) -> list[dict[int, str]]:
    return [{face.track: face.label for face in frame.faces} for frame in frames]


def test_two_faces_have_two_numbers(predictor: Predictor) -> None:
    frames = list(predictor.video(walk(30), fps=25))
    assert seen(frames) == [{1: "red", 2: "blue"}] * 30
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(30) / 25)
    for i, frame in enumerate(frames):
        assert frame.faces[0].box == (10 + 3 * i, 5, 10 + 3 * i + SIDE, 5 + SIDE)
        assert np.array_equal(frame.rgb, walk(30)[i])
        assert sum(frame.faces[0].scores.values()) == pytest.approx(1)


def test_one_leaves_and_another_comes(predictor: Predictor) -> None:
    here, there = (RED, 20, 20), (GREEN, 22, 20)
    clip = [scene(here)] * 5 + [scene()] * 4 + [scene(here)] * 2 + [scene()] * 9 + [scene(there)] * 3
    found = seen(list(predictor.video(clip, fps=10, max_gap=0.5)))
    assert found == [{1: "red"}] * 5 + [{}] * 4 + [{1: "red"}] * 2 + [{}] * 9 + [{2: "green"}] * 3
    again = seen(list(predictor.video(clip, fps=10, max_gap=0.2)))
    assert again[9:11] == [{2: "red"}] * 2 and again[-1] == {3: "green"}


def test_the_numbers_of_a_photographed_face(checkpoint: Any) -> None:
    pytest.importorskip("cv2", reason="comes with the extra faces")
    predictor, clip = Predictor(checkpoint, threads=1), portrait(8)
    found = list(predictor.video(clip, fps=25, smoothing=0, batch_frames=3))
    assert [[face.track for face in frame.faces] for frame in found] == [[1]] * 8
    alone = predictor(clip)
    for frame, (face,) in zip(found, alone, strict=True):
        (tracked,) = frame.faces
        assert (tracked.box, tracked.label) == (face.box, face.label)
        assert tracked.scores == tracked.raw == pytest.approx(face.scores, abs=1e-5)


def changing(count: int) -> list[np.ndarray]:
    """A square whose red goes up and down."""
    rng = np.random.default_rng(0)
    return [scene(((int(red), 60, 30), 20, 20)) for red in rng.integers(140, 250, count)]


def test_smoothing_over_uneven_times(predictor: Predictor, tmp_path: Any) -> None:
    path = write_clip(tmp_path / "clip.mp4", changing(20))
    slow_down(path, 8, 5)
    frames = list(predictor.video(path, smoothing=0.3))
    times = np.array([frame.time for frame in frames])
    assert np.diff(times) == pytest.approx([0.04] * 8 + [0.2] * 11, abs=1e-3)
    raw = np.array([list(frame.faces[0].raw.values()) for frame in frames])
    assert np.ptp(raw[:, 0]) > 0.03
    # The definition: what a value was until the next one weighs less by e in each 0.3 s.
    for i, frame in enumerate(frames):
        weights = np.exp((times[: i + 1] - times[i]) / 0.3)
        weights[1:] -= weights[:-1].copy()
        assert list(frame.faces[0].scores.values()) == pytest.approx(weights @ raw[: i + 1], abs=1e-9)


def test_the_label_is_that_of_the_smoothed_scores(predictor: Predictor) -> None:
    clip = [scene((RED, 20, 20))] * 9 + [scene((BLUE, 20, 20))] + [scene((RED, 20, 20))] * 5
    assert {face["label"] for face in dicts(predictor.video(clip, fps=25))} == {"red"}
    labels = [face["label"] for face in dicts(predictor.video(clip, fps=25, smoothing=0))]
    assert labels == ["red"] * 9 + ["blue"] + ["red"] * 5


def dicts(frames: Iterator[VideoFrame]) -> list[dict[str, Any]]:
    return [face.to_dict() for frame in frames for face in frame.faces]


@pytest.mark.parametrize("every", [1, 3])
def test_batches_change_nothing(predictor: Predictor, colours: Any, every: int) -> None:
    clip = [*walk(5), *changing(6)]
    expected = dicts(predictor.video(clip, fps=25, detect_every=every, batch_frames=1))
    assert len(expected) > 5
    for size in (2, 8, 100):
        colours.batches.clear()
        found = dicts(predictor.video(clip, fps=25, detect_every=every, batch_frames=size))
        assert sum(colours.batches) == len(expected) and len(colours.batches) <= -(-len(clip) // size)
        for a, b in zip(expected, found, strict=True):
            assert (a["track"], a["box"], a["label"]) == (b["track"], b["box"], b["label"])
            assert a["scores"] == pytest.approx(b["scores"], abs=1e-6)


def test_frames_come_when_their_batch_is_full(predictor: Predictor) -> None:
    taken = []

    def camera() -> Iterator[np.ndarray]:
        for frame in walk(20):
            taken.append(frame)
            yield frame

    frames = predictor.video(camera(), fps=25, batch_frames=4)
    assert not taken
    next(frames)
    assert len(taken) == 4


@pytest.mark.parametrize(("every", "count", "calls"), [(1, 12, 12), (4, 13, 4), (4, 15, 5), (100, 5, 2), (4, 1, 1)])
def test_detections_between_which_boxes_go_straight(colours: Any, every: int, count: int, calls: int) -> None:
    looked = []

    def detector(rgb: np.ndarray) -> Any:
        looked.append(rgb)
        boxes = np.array(find_squares(rgb), dtype=float)
        return boxes, np.tile(boxes[:, None, :2], (1, 5, 1))

    predictor = Predictor(colours, detector=detector, margin=0)
    frames = list(predictor.video(walk(count), fps=25, detect_every=every))
    assert len(looked) == calls and np.array_equal(looked[-1], frames[-1].rgb)
    for i, frame in enumerate(frames):
        assert [face.track for face in frame.faces] == [1, 2]
        assert [face.box[:2] for face in frame.faces] == [(10 + 3 * i, 5), (160 - 3 * i, 45)]
        assert frame.faces[0].landmarks == pytest.approx(np.full((5, 2), (10 + 3 * i, 5)))


def test_between_two_detections_only_faces_of_both(predictor: Predictor) -> None:
    both, one = scene((RED, 20, 20), (BLUE, 90, 20)), scene((RED, 20, 20))
    found = seen(list(predictor.video([both, both, both, one, one, one, both], fps=25, detect_every=3)))
    assert [set(tracks) for tracks in found] == [{1, 2}, {1}, {1}, {1}, {1}, {1}, {1, 2}]


def test_frames_may_be_any_images_and_whole_faces(colours: Any) -> None:
    predictor = Predictor(colours, detect=False, embedding=True)
    images = [scene((RED, 20, 20)), Image.fromarray(scene((BLUE, 20, 20))), np.full((9, 12), 80, np.uint8)]
    frames = list(predictor.video(images, fps=5))
    assert [[face.box for face in frame.faces] for frame in frames] == [[(0, 0, 200, 80)]] * 2 + [[(0, 0, 12, 9)]]
    assert all(face.embedding is not None for frame in frames for face in frame.faces)
    assert len(list(predictor.video(np.stack(walk(4)), fps=5))) == 4


def test_faces_can_be_drawn_and_written_as_json(predictor: Predictor) -> None:
    frame = next(predictor.video(walk(1), fps=5))
    face = frame.faces[0]
    assert isinstance(face, TrackedFace)
    assert list(face.to_dict()) == ["track", "box", "label", "score", "scores", "raw"]
    assert not np.array_equal(np.asarray(draw(frame.rgb, frame.faces)), frame.rgb)


def test_what_is_wrong_is_said_at_once(predictor: Predictor) -> None:
    for name in ("detect_every", "batch_frames"):
        with pytest.raises(ValueError, match=f"{name} must be 1 to 100"):
            predictor.video(walk(2), fps=5, **{name: 0})
        for value in (101, 2.5, "4", True):
            with pytest.raises(ValueError, match=f"{name} must be 1 to 100, got {value!r}"):
                predictor.video(walk(2), fps=5, **{name: value})
    for name in ("smoothing", "max_gap"):
        for value in (-0.1, float("nan"), float("inf"), "0.3", None):
            with pytest.raises(ValueError, match=name):
                predictor.video(walk(2), fps=5, **{name: value})
    for fps in (0, "25", True):
        with pytest.raises(ValueError, match="fps must be a positive number"):
            predictor.video(walk(2), fps=fps)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a camera and an opened source have their own"):
        predictor.video(0, fps=5)
    with pytest.raises(VideoError, match="give fps"):
        predictor.video(walk(2))
    for source in (scene(), None, 1.5, True, io.BytesIO(b"\n\n"), b"\n\n"):
        with pytest.raises(VideoError, match="A video is"):
            predictor.video(source, fps=5)  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="no frames"):
        list(predictor.video([], fps=5))
    with pytest.raises(ImageError, match="float64"):
        list(predictor.video([np.zeros((4, 4, 3))], fps=5))
