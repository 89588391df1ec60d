"""Decoding, finding faces, the network and the rows, all at the same time and with few images in memory."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..data.processors import usable_cores
from ..registry.exported import is_exported
from .faces import Detector
from .haar import HaarDetector, limit_opencv
from .predictor import Pending, Prediction, Predictor
from .scoring_parts import Item

if TYPE_CHECKING:
    from .scoring_job import Settings

__all__ = ["Pipeline", "default_workers", "predict_groups", "predict_items"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")

#: Images an image thread may be ahead by, beyond a group that waits for the network: enough to never be idle.
AHEAD = 4
#: Encoded bytes after which a group of crops is full that an exported file takes: every image thread may hold one.
BYTES = 1 << 24


def default_workers() -> int:
    """As many image threads as this process has processors, 16 at most."""
    return min(16, usable_cores())


class Pipeline:
    """A predictor with the image threads around it.

    Attributes:
        predictor: As the settings say, but for the threads of its session.
        workers: Image threads.
    """

    def __init__(self, settings: Settings, workers: int | None = None) -> None:
        """Load the network, and choose between `predict_groups` and `predict_items`.

        Args:
            settings: How.
            workers: Image threads; None for what the settings or else the processors say.
        """
        self.workers = workers or settings.workers or default_workers()
        threads = usable_cores() if settings.threads is None else settings.threads
        # With torch each thread that calls it gets threads of OpenMP's own; a detector takes its time, so that threads
        # which share it image by image end together.
        whole = is_exported(settings.model) and not settings.detect
        # A number of threads that is none is the predictor's to refuse.
        number = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
        self._whole = whole and number and threads >= self.workers
        # The calling threads compute, too: with the session's others they are as many as there should be.
        own = {"threads": int(threads) - self.workers + 1} if self._whole else {}
        self.predictor = settings.predictor(**own)
        # Groups are the same whatever the threads.
        self._most = BYTES if whole else math.inf
        # A file that resizes by itself takes whole pictures, one by one.
        alone = self._whole and self.predictor.network.file.preprocess
        self._size = min(AHEAD, settings.batch_size) if alone else settings.batch_size

    def __call__(self, items: Iterable[Item]) -> Generator[list[Prediction], None, None]:
        """Predict images, in order, group by group."""
        if self._whole:
            return predict_groups(self.predictor, items, self.workers, self._size)
        return predict_items(self.predictor, items, self.workers, self._most)


def predict_groups(
    predictor: Predictor, items: Iterable[Item], workers: int, size: int
) -> Generator[list[Prediction], None, None]:
    """`predict_items` for a network that may be called from many threads: each takes a group from bytes to scores.

    No thread then waits for another at every layer, as those of one call do, nor for the one thread that calls. A group
    is `size` images, or fewer with `BYTES` together.
    """
    leaving = threading.Event()

    def predict(group: list[Item]) -> list[Prediction]:
        return predictor.finish([predictor.begin(item, Item.picture) for item in group if not leaving.is_set()])

    filled = _groups(items, size, BYTES, lambda item: 1, lambda item: item)
    groups = _in_order(predict, filled, workers, workers + 1, leaving)
    with warnings.catch_warnings(), contextlib.closing(groups):  # as in `predict_items`
        yield from groups


def predict_items(
    predictor: Predictor, items: Iterable[Item], workers: int, most: float = math.inf
) -> Generator[list[Prediction], None, None]:
    """Predict images, in order, group by group.

    Threads decode and find faces while this one runs the network and the caller handles the results. A group is what
    goes through the network at a time: as many whole images as have `batch_size` faces together, and as many images
    at most. Where the images begin at a group's first, the groups are the same, and so are the scores to the last bit.

    Args:
        predictor: Its detector and its network.
        items: The images; they are taken as they are needed.
        workers: Image threads.
        most: Encoded bytes after which a group is full before that.

    Yields:
        The predictions of a group, the source of each of which is its item.
    """
    # As many images as the next group can have are ready or being worked on.
    prepared = _in_order(_Preparer(predictor), items, workers, predictor.batch_size + workers * AHEAD)
    # One thread of OpenCV a call: the image threads fill the processors, and candidates come in one order alone.
    single = limit_opencv(1 if isinstance(predictor.detector, HaarDetector) else None)
    with single, warnings.catch_warnings(), contextlib.closing(prepared):
        # Reading an image puts the filters aside for a moment, which threads do to each other's harm: on the way out
        # they are as they were.
        for group in _groups(prepared, predictor.batch_size, most, lambda one: len(one.crops), lambda one: one.source):
            # In the thread that asks: each thread that calls torch gets threads of OpenMP's own, and where these are
            # more than the processors all of them sleep and wake at every operation.
            yield predictor.finish(group)


def _in_order(
    work: Callable[[_In], _Out],
    things: Iterable[_In],
    workers: int,
    most: int,
    leaving: threading.Event | None = None,
) -> Generator[_Out, None, None]:
    """What `work`, called in threads, makes of each thing, in order; `most` of them are ready or being worked on.

    Where the things break off with an error, what was made of those before comes first. `leaving` tells the threads
    that nobody waits for them any more.
    """
    pool, left, error = ThreadPoolExecutor(workers), iter(things), None
    try:
        window: deque[Future[_Out]] = deque()
        while True:
            try:
                window.append(pool.submit(work, next(left)))
            except StopIteration:
                break
            except Exception as raised:
                error = raised
                break
            if len(window) >= most:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
        if error:
            raise error
    finally:
        error = None  # or it and this frame would keep each other
        if leaving:
            leaving.set()
        pool.shutdown(cancel_futures=True)


class _Preparer:
    """Decode an image and cut out its faces, from any thread."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._own = copy.copy(predictor), threading.local()
        self._cascade = isinstance(predictor.detector, HaarDetector)
        if predictor.detector is not None and not self._cascade:
            self._predictor.detector = _OneAtATime(predictor.detector)

    def __call__(self, item: Item) -> Pending:
        return self._of_this_thread().begin(item, Item.picture)

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


def _groups(
    images: Iterable[_In], size: int, most: float, faces_of: Callable[[_In], int], item_of: Callable[[_In], Item]
) -> Iterator[list[_In]]:
    """Groups of `size` images at most, with `size` faces at most but for a single image, full at `most` bytes."""
    group: list[_In] = []
    faces = weight = 0
    for one in images:
        count = faces_of(one)
        if group and faces + count > size:
            yield group
            group, faces, weight = [], 0, 0
        group.append(one)
        faces += count
        weight += len(item_of(one).data or b"")
        if faces >= size or len(group) >= size or weight >= most:
            yield group
            group, faces, weight = [], 0, 0
    if group:
        yield group
