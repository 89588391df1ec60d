"""The pipeline of a scoring job: which thread does what, and how much waits in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from mean_colour import MeanColour
from PIL import Image

from ferzoo.errors import CheckpointError, DataError, OptionError
from ferzoo.predict import scoring_pipeline
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.scoring_job import Settings
from ferzoo.predict.scoring_parts import Files, Item
from ferzoo.predict.scoring_pipeline import AHEAD, Pipeline, predict_groups, predict_items


@pytest.fixture
def crop(tmp_path: Path) -> str:
    """A crop of one colour."""
    Image.new("RGB", (8, 8), (7, 51, 103)).save(tmp_path / "crop.png")
    return str(tmp_path / "crop.png")


def test_few_images_are_in_memory(crop: str) -> None:
    taken = given = most = 0

    def items() -> Any:
        nonlocal taken, most
        for i in range(600):
            (item,) = Files([crop]).read(0, 1)
            taken, item.index = taken + 1, i
            most = max(most, taken - given)
            yield item

    network = MeanColour()
    for group in predict_items(Predictor(network, detect=False, batch_size=8, threads=1), items(), 3):
        assert [prediction.source.index for prediction in group] == list(range(given, given + 8))
        given += len(group)
    assert given == taken == 600 and set(network.batches) == {8}
    # One group that is being filled, or with the network and then the caller; one that waits; what the threads work on.
    assert most <= 2 * 8 + 3 * AHEAD


def test_the_network_runs_in_the_caller_s_thread_while_others_prepare(crop: str) -> None:
    begun, ready = 0, threading.Condition()

    class Counted(Predictor):
        def begin(self, *arguments: Any) -> Any:
            nonlocal begun
            pending = super().begin(*arguments)
            with ready:
                begun += 1
                ready.notify_all()
            assert threading.get_ident() != caller
            return pending

    class Waiting(MeanColour):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert threading.get_ident() == caller
            with ready:
                # The next group is made ready meanwhile: it would never be, did the threads wait for this.
                assert ready.wait_for(lambda: begun >= 16, timeout=60)
            return super().forward(x)

    caller = threading.get_ident()
    predictor = Counted(Waiting(), detect=False, batch_size=8, threads=1)
    items = Files([crop] * 16).read(0, None)
    assert [len(group) for group in predict_items(predictor, items, 2)] == [8, 8]


def test_groups_that_a_thread_does_alone(crop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the same whatever the threads, few are in memory, and a damaged image is one row."""
    damaged = Path(crop).with_name("damaged.png")
    damaged.write_bytes(b"damaged")
    monkeypatch.setattr(scoring_pipeline, "BYTES", 250)
    taken = given = most = 0

    def items() -> Any:
        nonlocal taken, most
        for i in range(400):
            taken += 1
            most = max(most, taken - given)
            # From the 200th on the images are bytes, of which three fill a group.
            yield Item(i, str(damaged if i == 5 else crop), bytes(100) if i >= 200 else None)

    network = MeanColour()
    caller, threads = threading.get_ident(), set()

    class Asked(Predictor):
        def finish(self, waiting: Any) -> Any:
            threads.add(threading.get_ident())
            return super().finish(waiting)

    for group in predict_groups(Asked(network, detect=False, threads=1), items(), 3, 8):
        assert [prediction.source.index for prediction in group] == list(range(given, given + len(group)))
        assert len(group) == 8 if given < 200 else len(group) == 3 or given + len(group) == 400
        assert [bool(prediction.error) for prediction in group] == [
            i == 5 or i >= 200 for i in range(given, given + len(group))
        ]
        given += len(group)
    assert given == taken == 400 and sorted(network.batches) == [7] + [8] * 24
    assert most <= (3 + 1) * 8 and caller not in threads


def test_an_error_in_a_group_reaches_the_caller(crop: str) -> None:
    """A network with damaged weights ends the job, and no thread goes on."""
    network = MeanColour()
    network.scale.data.fill_(float("nan"))
    predictor = Predictor(network, detect=False, threads=1)
    before = threading.active_count()
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        list(predict_groups(predictor, Files([crop] * 64).read(0, None), 2, 4))
    assert threading.active_count() == before


def test_leaving_early_ends_the_threads_in_the_middle_of_their_groups(
    crop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, before, go_on = list[int](), threading.active_count(), threading.Event()

    class Slow(Predictor):
        def begin(self, source: Any, *arguments: Any) -> Any:
            begun.append(source.index)
            assert source.index < 8 or go_on.wait(60)
            return super().begin(source, *arguments)

    groups = predict_groups(Slow(MeanColour(), detect=False, threads=1), Files([crop] * 999).read(0, None), 3, 8)
    assert len(next(groups)) == 8
    shutdown = ThreadPoolExecutor.shutdown

    def told_before(self: ThreadPoolExecutor, *arguments: Any, **options: Any) -> None:
        go_on.set()
        shutdown(self, *arguments, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", told_before)
    groups.close()
    assert go_on.is_set()
    # What was begun is ended: one image a thread.
    assert 8 <= len(begun) <= 8 + 3
    assert threading.active_count() == before


@pytest.mark.parametrize("whole", [False, True])
def test_what_comes_before_a_break_in_the_source_is_given(whole: bool, crop: str) -> None:
    """Whole groups, so that a resumed job has the same ones."""

    def items() -> Any:
        yield from Files([crop] * 45).read(0, None)
        raise DataError("It is cut off.")

    given: list[int] = []
    predictor = Predictor(MeanColour(), detect=False, batch_size=8, threads=1)
    groups = predict_groups(predictor, items(), 3, 8) if whole else predict_items(predictor, items(), 3)
    with pytest.raises(DataError, match=r"It is cut off\."):
        for group in groups:
            given += [prediction.source.index for prediction in group]
    assert given == list(range(40))


def test_large_images_end_a_group_either_way(crop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(crop).read_bytes()
    monkeypatch.setattr(scoring_pipeline, "BYTES", 3 * len(data))
    predictor = Predictor(MeanColour(), detect=False, batch_size=8, threads=1)
    items = [Item(i, "crop", data) for i in range(10)]
    for groups in (predict_groups(predictor, items, 2, 8), predict_items(predictor, items, 2, scoring_pipeline.BYTES)):
        assert [len(group) for group in groups] == [3, 3, 3, 1]


@pytest.mark.parametrize("threads", [0, "2", 2.5])
def test_a_number_of_threads_that_is_none(threads: Any) -> None:
    with pytest.raises(OptionError, match=f"threads must be a whole number, 1 or more, got {threads!r}"):
        Pipeline(Settings("there_is_none.onnx", detect=False, threads=threads), 2)
