"""What the browser computes is what Python computes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ferzoo
from ferzoo.predict.crop import square_crop
from ferzoo.predict.faces import check_detections

PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"
INPUT = """async ([source, box]) => {
  const bytes = Uint8Array.from(atob(source), (character) => character.charCodeAt(0));
  return Array.from(pixels.input(await createImageBitmap(new Blob([bytes])), box, cfg));
}"""


@pytest.fixture(scope="module")
def facts(site: Path) -> dict[str, Any]:
    """What the build states."""
    return json.loads((site / "demo" / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def network(facts: dict[str, Any]) -> Any:
    """The network in torch."""
    return ferzoo.create_model(facts["name"], pretrained=True).eval()


def test_facts_are_the_networks(facts: dict[str, Any], network: Any) -> None:
    cfg = network.pretrained_cfg
    assert tuple(facts["labels"]) == tuple(cfg["label_names"])
    assert (1, facts["height"], facts["width"]) == tuple(cfg["input_size"])
    assert (facts["mean"],) == tuple(cfg["mean"]) and (facts["std"],) == tuple(cfg["std"])


def test_scores_of_a_tensor(demo: Any, network: Any, facts: dict[str, Any]) -> None:
    import torch

    batch = np.random.default_rng(0).normal(size=(3, 1, facts["height"], facts["width"])).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).softmax(1).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01  # the three rows can be told apart
    scores = demo.page.evaluate("async (data) => both.classify(Float32Array.from(data))", batch.ravel().tolist())
    np.testing.assert_allclose(scores, expected, atol=1e-3)


# Inside, across two edges, and a small one that is enlarged.
@pytest.mark.parametrize("box", [(176, 65, 274, 163), (-5, 430, 171, 520), (100, 100, 121, 122)])
def test_input_is_the_predictors(
    demo: Any, network: Any, facts: dict[str, Any], box: tuple[int, ...], png: Callable[..., bytes]
) -> None:
    from ferzoo.data.transforms import eval_transform

    image = Image.open(PHOTOGRAPH).convert("RGB")
    rgb = np.asarray(image)
    expected = eval_transform(network.pretrained_cfg)(square_crop(rgb, box, facts["framing"]["margin"])).numpy()
    found = demo.page.evaluate(INPUT, [base64.b64encode(png(image)).decode(), list(box)])
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-6)


@pytest.mark.parametrize("box", [(10.2, 20.6, 60.2, 70.6), (-8.0, 150.5, 42.0, 200.5), (310.0, 10.0, 350.0, 50.0)])
def test_box_is_moved_and_then_clipped_as_a_detectors(demo: Any, facts: dict[str, Any], box: tuple[float, ...]) -> None:
    x, y = (facts["framing"][key] * (box[2] - box[0]) for key in ("right", "down"))
    moved = np.array([box]) + [x, y, x, y]
    expected = [list(kept) for kept, _ in check_detections(moved, 200, 300)]
    found = demo.page.evaluate("(box) => pixels.place(box, cfg.framing, 300, 200)", list(box))
    assert [found] == (expected or [None])


def test_photograph_has_the_label_of_the_predictor(demo: Any) -> None:
    pytest.importorskip("cv2", reason="comes with the extra faces")
    [face] = ferzoo.Predictor("lanmsff")(PHOTOGRAPH)
    message = demo.give("astronaut.jpg", PHOTOGRAPH.read_bytes())
    assert message == f"1 face: {face.label}."
    page = demo.page
    assert page.inner_text("#demo-title") == f"Face 1 of 1: {face.label}"
    rows = page.eval_on_selector_all(
        "#demo-scores tr", "rows => rows.map(r => [r.cells[0].innerText, parseFloat(r.cells[2].innerText)])"
    )
    scores = dict(rows)
    assert tuple(scores) == tuple(face.scores) and sum(scores.values()) == pytest.approx(100, abs=0.5)
    assert max(scores, key=scores.__getitem__) == face.label
    widths = page.eval_on_selector_all(".demo-bar", "bars => bars.map(b => parseFloat(b.style.width))")
    np.testing.assert_allclose(widths, list(scores.values()), atol=0.06)
    assert page.inner_text(".demo-best th") == face.label
    assert len([n for n in page.inner_text("#demo-times").split() if n.replace(".", "").isdigit()]) >= 2
    result = page.evaluate(
        "async (u) => both.analyse(await createImageBitmap(await (await fetch(u)).blob()))", "/images/astronaut.jpg"
    )
    assert overlap(result["faces"][0]["box"], face.box) > 0.6
    assert demo.foreign == [] and demo.problems == []


def overlap(a: Any, b: Any) -> float:
    """Intersection by union of two boxes."""
    width, height = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(areas) - width * height)
