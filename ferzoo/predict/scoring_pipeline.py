"""Decoding, finding faces, the network and the rows, all at the same time and with few images in memory."""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..data.processors import usable_cores
from ..errors import ImageError
from .haar import HaarDetector
from .predictor import Prediction, Predictor
from .scoring_parts import Item

__all__ = ["Scored", "default_workers", "predict_items"]

#: Images an image thread may be ahead by: enough to never wait, too few to fill the memory.
AHEAD = 4

#: An image with what became of it.
Scored = tuple[Item, Prediction]


@dataclass
class _Prepared:
    """An image whose faces wait for the network; its pixels are let go."""

    item: Item
    width: int = 0
    height: int = 0
    error: ImageError | None = None
    found: list[Any] = field(default_factory=list)
    crops: list[Any] = field(default_factory=list)


def default_workers() -> int:
    """As many image threads as this process has processors, 16 at most."""
    return min(16, usable_cores())


def predict_items(predictor: Predictor, items: Iterable[Item], workers: int) -> Generator[list[Scored], None, None]:
    """Predict images, in order, group by group.

    Threads decode and find faces while another runs the network and the caller handles the results. A group is what
    goes through the network at a time: as many whole images as have `batch_size` faces together, and as many images
    at most. Where the images begin at a group's first, the groups are the same, and so are the scores to the last bit.

    Args:
        predictor: Its detector and its network.
        items: The images; they are taken as they are needed.
        workers: Image threads.

    Yields:
        The images of a group, each with its `Prediction`, the source of which is the item's name.
    """
    with _single_threaded_opencv(predictor), warnings.catch_warnings(), ThreadPoolExecutor(1) as network:
        # Reading an image puts the filters aside for a moment, which threads do to each other's harm: on the way out
        # they are as they were.
        waiting: Future[list[Scored]] | None = None
        prepared = _prepared(predictor, items, workers)
        try:
            for group in _groups(prepared, predictor.batch_size):
                ahead, waiting = waiting, network.submit(_classify, predictor, group)
                if ahead:
                    yield ahead.result()
            if waiting:
                yield waiting.result()
        finally:
            prepared.close()


def _prepared(predictor: Predictor, items: Iterable[Item], workers: int) -> Generator[_Prepared, None, None]:
    """Every image with its crops, in order; a few more are being worked on."""
    prepare = _Preparer(predictor)
    pool = ThreadPoolExecutor(workers)
    try:
        window: deque[Future[_Prepared]] = deque()
        for item in items:
            window.append(pool.submit(prepare, item))
            if len(window) >= workers * AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Preparer:
    """Decode an image and cut out its faces, from any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._own, self._lock = predictor, threading.local(), threading.Lock()

    def __call__(self, item: Item) -> _Prepared:
        try:
            rgb = item.rgb()
            found = self._find(rgb)
        except ImageError as error:
            return _Prepared(item, error=error)
        return _Prepared(item, rgb.shape[1], rgb.shape[0], None, found, self._predictor.prepare(rgb, found))

    def _find(self, rgb: Any) -> list[Any]:
        detector = self._predictor.detector
        if detector is None:
            return self._predictor.find(rgb)
        if isinstance(detector, HaarDetector):
            # One a thread: the cascade serves one call at a time.
            if not hasattr(self._own, "predictor"):
                self._own.predictor = copy.copy(self._predictor)
                self._own.predictor.detector = HaarDetector(detector.min_face)
            return self._own.predictor.find(rgb)
        with self._lock:  # nobody says that it may be called from two threads at once
            return self._predictor.find(rgb)


def _groups(prepared: Iterable[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    group: list[_Prepared] = []
    crops = 0
    for one in prepared:
        if group and crops + len(one.crops) > size:
            yield group
            group, crops = [], 0
        group.append(one)
        crops += len(one.crops)
        if crops >= size or len(group) >= size:
            yield group
            group, crops = [], 0
    if group:
        yield group


def _classify(predictor: Predictor, group: list[_Prepared]) -> list[Scored]:
    rows = predictor.classify([crop for one in group for crop in one.crops])
    out = []
    for one in group:
        faces = [predictor.face(box, landmarks, *next(rows)) for box, landmarks in one.found]
        out.append((one.item, Prediction(one.item.name, faces, one.width, one.height, one.error)))
    return out


@contextlib.contextmanager
def _single_threaded_opencv(predictor: Predictor) -> Iterator[None]:
    """One thread a call: the image threads fill the processors, and candidates come in one order alone."""
    if not isinstance(predictor.detector, HaarDetector):
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
