"""Decoding, finding faces, the network and the rows, all at the same time and with few images in memory."""

from __future__ import annotations

import contextlib
import copy
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..data.processors import usable_cores
from .faces import Detector
from .haar import HaarDetector
from .predictor import Pending, Prediction, Predictor
from .scoring_parts import Item

__all__ = ["default_workers", "predict_items"]

#: Images an image thread may be ahead by, beyond a group that waits for the network: enough to never be idle.
AHEAD = 4


def default_workers() -> int:
    """As many image threads as this process has processors, 16 at most."""
    return min(16, usable_cores())


def predict_items(predictor: Predictor, items: Iterable[Item], workers: int) -> Generator[list[Prediction], None, None]:
    """Predict images, in order, group by group.

    Threads decode and find faces while this one runs the network and the caller handles the results. A group is what
    goes through the network at a time: as many whole images as have `batch_size` faces together, and as many images
    at most. Where the images begin at a group's first, the groups are the same, and so are the scores to the last bit.

    Args:
        predictor: Its detector and its network.
        items: The images; they are taken as they are needed.
        workers: Image threads.

    Yields:
        The predictions of a group, the source of each of which is its item.
    """
    prepared = _prepared(predictor, items, workers)
    with _single_threaded_opencv(predictor), warnings.catch_warnings(), contextlib.closing(prepared):
        # Reading an image puts the filters aside for a moment, which threads do to each other's harm: on the way out
        # they are as they were.
        for group in _groups(prepared, predictor.batch_size):
            # In the thread that asks: each thread that calls torch gets threads of OpenMP's own, and where these are
            # more than the processors all of them sleep and wake at every operation.
            yield predictor.finish(group)


def _prepared(predictor: Predictor, items: Iterable[Item], workers: int) -> Generator[Pending, None, None]:
    """Every image with its crops, in order; as many images as the next group can have are ready or being worked on."""
    prepare = _Preparer(predictor)
    pool = ThreadPoolExecutor(workers)
    try:
        window: deque[Future[Pending]] = deque()
        for item in items:
            window.append(pool.submit(prepare, item))
            if len(window) >= predictor.batch_size + workers * AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Preparer:
    """Decode an image and cut out its faces, from any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._own = copy.copy(predictor), threading.local()
        self._cascade = isinstance(predictor.detector, HaarDetector)
        if predictor.detector is not None and not self._cascade:
            self._predictor.detector = _OneAtATime(predictor.detector)

    def __call__(self, item: Item) -> Pending:
        return self._of_this_thread().begin(item, Item.rgb)

    def _of_this_thread(self) -> Predictor:
        if not self._cascade:
            return self._predictor
        # One a thread: the cascade serves one call at a time.
        if not hasattr(self._own, "predictor"):
            self._own.predictor = copy.copy(self._predictor)
            self._own.predictor.detector = HaarDetector(self._predictor.detector.min_face)  # type: ignore[union-attr]
        return self._own.predictor


class _OneAtATime:
    """A detector of which nobody says that it may be called from two threads at once."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self._lock = detector, threading.Lock()

    def __call__(self, rgb: np.ndarray) -> Any:
        with self._lock:
            return self._detector(rgb)


def _groups(prepared: Iterable[Pending], size: int) -> Iterator[list[Pending]]:
    group: list[Pending] = []
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
