"""The pipeline of a scoring job: which thread does what, and how much waits in memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from mean_colour import MeanColour
from PIL import Image

from ferzoo.predict.predictor import Predictor
from ferzoo.predict.scoring_parts import Files
from ferzoo.predict.scoring_pipeline import AHEAD, predict_items


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
