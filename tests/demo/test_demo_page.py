"""The demo as a reader meets it: messages, keyboard, camera, narrow screens, light and dark, and no traffic."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"
# Contrast of a selector's text to what is behind it, by WCAG 2: colours are laid over each other first.
CONTRAST = """(selector) => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [[r, g, b], a]; };
  const over = ([c, a], below) => c.map((v, i) => v * a + below[i] * (1 - a));
  const luminance = (c) => c.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const layers = [];
  const element = document.querySelector(selector);
  for (let e = element; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor));
  const behind = layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  const text = over(parse(getComputedStyle(element).color), behind);
  const [dark, light] = [luminance(text), luminance(behind)].sort((a, b) => a - b);
  return [(light + 0.05) / (dark + 0.05), behind.map(Math.round).join()];
}"""
# Drops a file, or text where there are no bytes, and says what the page does of it at once.
DROP = """([selector, bytes]) => {
  const dataTransfer = new DataTransfer();
  if (bytes) dataTransfer.items.add(new File([Uint8Array.from(bytes)], 'dropped.png', { type: 'image/png' }));
  else dataTransfer.items.add('https://example.org/a.png', 'text/uri-list');
  const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
  return [event.defaultPrevented, document.querySelector('#demo-status').textContent];
}"""
# The first picture is decoded when the second has been shown; then more than as long as its faces take.
OVERTAKEN = """() => {
  const make = window.createImageBitmap;
  window.createImageBitmap = async (...given) => {
    window.createImageBitmap = make;
    await new Promise((resolve) => (window.release = resolve));
    const [bitmap, again] = [await make(...given), await make(...given)]; // the page closes its own
    window.decoded = both.analyse(again).then(() => both.analyse(again));
    return bitmap;
  };
}"""
# Two requests for the camera are answered in reverse order, and a third when it was stopped.
REQUESTS = """async () => {
  const { Camera } = await import('/demo/camera.js');
  const answers = [];
  navigator.mediaDevices.getUserMedia = () => new Promise((resolve) => answers.push(resolve));
  const stream = () => {
    const track = { on: true, stop: () => (track.on = false), addEventListener: () => {} };
    return { track, getTracks: () => [track] };
  };
  const [camera, streams] = [new Camera(), [stream(), stream(), stream()]];
  const started = [camera.start(), camera.start()];
  for (const i of [1, 0]) {
    answers[i](streams[i]);
    await started[i];
  }
  const said = [camera.running, ...streams.map(({ track }) => track.on)];
  const third = camera.start();
  camera.stop();
  answers[2](streams[2]);
  await third;
  return [said, [camera.running, ...streams.map(({ track }) => track.on)]];
}"""
STEADY = "document.getAnimations().every((animation) => !(animation instanceof CSSTransition))"


@pytest.fixture(scope="module")
def two_faces(png: Callable[..., bytes]) -> bytes:
    """The photograph beside itself."""
    rgb = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))
    return png(Image.fromarray(np.hstack([rgb, rgb])))


def test_what_is_no_image_is_told(demo: Any) -> None:
    assert "notes.png is not an image" in demo.give("notes.png", b"these are notes", "error")
    assert demo.page.is_hidden("#demo-stage")


def test_picture_without_faces_is_told(demo: Any, png: Callable[..., bytes]) -> None:
    assert "No face was found" in demo.give("grey.png", png(Image.new("RGB", (300, 200), (90, 120, 90))), "error")
    assert demo.page.is_hidden("#demo-faces") and demo.page.is_visible("#demo-picture")


def test_denied_camera_is_told(fresh: Any) -> None:
    opened = fresh()
    opened.page.click("#demo-webcam")
    assert "The camera was denied" in opened.wait("error")
    assert opened.page.inner_text("#demo-webcam") == "Start the camera"


def test_camera_that_is_not_there_is_told(fresh: Any) -> None:
    opened = fresh()
    opened.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }; }"
    )
    opened.page.click("#demo-webcam")
    assert "No camera was found" in opened.wait("error")


def test_camera_runs_until_it_is_stopped(demo: Any) -> None:
    demo.page.context.grant_permissions(["camera"])
    demo.page.click("#demo-webcam")
    assert "The camera is running. No face was found." == demo.wait("live")
    assert demo.page.is_visible("#demo-picture")
    demo.page.click("text=Stop the camera")
    assert demo.wait("done") == "The camera is off."
    demo.page.wait_for_selector("text=Start the camera")


def test_camera_that_is_stopped_while_the_networks_load(fresh: Any) -> None:
    opened = fresh(permissions=["camera"])
    opened.page.route("**/*.onnx", lambda route: None)  # for ever
    opened.page.click("#demo-webcam")
    opened.page.click("text=Stop the camera")
    assert opened.wait("done") == "The camera is off."
    opened.page.wait_for_selector("text=Start the camera")


def test_last_request_for_the_camera_counts(fresh: Any) -> None:
    second, stopped = fresh().page.evaluate(REQUESTS)
    assert second == [True, False, True, True]
    assert stopped == [False, False, False, False]


def test_keyboard_alone(demo: Any, two_faces: bytes) -> None:
    page = demo.page
    page.evaluate("document.activeElement?.blur()")
    # The site's menu comes first.
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "demo-choose":
            break
    assert page.evaluate("document.activeElement.id") == "demo-choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "two.png", "mimeType": "image/png", "buffer": two_faces})
    assert demo.wait("done").startswith("2 faces: ")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    titles = [page.inner_text("#demo-title")]
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        titles.append(page.inner_text("#demo-title"))
    assert {title[:11] for title in titles[:2]} == {"Face 1 of 2", "Face 2 of 2"} and titles[2] == titles[0]


def test_drop_and_click_on_a_face(demo: Any, two_faces: bytes) -> None:
    prevented, message = demo.page.evaluate(DROP, ["#demo", list(two_faces)])
    assert prevented and message.endswith("…")
    assert demo.wait("done").startswith("2 faces: ")
    box = demo.page.locator("#demo-picture").bounding_box()
    for i, x in enumerate((225 / 1024, 737 / 1024)):
        demo.page.mouse.click(box["x"] + x * box["width"], box["y"] + 0.24 * box["height"])
        assert demo.page.inner_text("#demo-title").startswith(f"Face {i + 1} of 2")


def test_what_is_dropped_and_no_file_is_told(demo: Any) -> None:
    prevented, message = demo.page.evaluate(DROP, ["#demo", None])
    assert prevented and message.startswith("That is not a file.") and demo.wait("error")


def test_page_stays_when_the_frame_is_missed(demo: Any) -> None:
    for selector, data, stays in (("h1", [1], True), ("h1", None, True), ("#__search", [1], True)):
        assert demo.page.evaluate(DROP, [selector, data])[0] == stays
    assert not demo.page.evaluate(DROP, ["#__search", None])[0]  # text may be dropped into a field


def test_later_of_two_pictures_counts(demo: Any, two_faces: bytes) -> None:
    demo.give("one.jpg", PHOTOGRAPH.read_bytes())
    demo.page.evaluate(OVERTAKEN)
    assert demo.page.evaluate(DROP, ["#demo", list(two_faces)])[1] == "Looking for faces …"
    assert demo.give("one.jpg", PHOTOGRAPH.read_bytes()).startswith("1 face: ")
    demo.page.evaluate("async () => { release(); while (!window.decoded) await new Promise(requestAnimationFrame); }")
    demo.page.evaluate("decoded")
    assert demo.wait("done").startswith("1 face: ")


def test_phone_light_and_dark(fresh: Any) -> None:
    behind = {}
    opened = fresh(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
    opened.page.click("#demo-sample")
    assert opened.wait("done").startswith("1 face: ")
    for scheme in ("slate", "default"):
        opened.page.wait_for_selector(f"body[data-md-color-scheme={scheme}]")
        opened.page.wait_for_function(STEADY)  # the theme's own colours fade into each other
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
        for selector in ("#demo-status", "#demo-choose", "#demo-title", ".demo-best th", "#demo-times"):
            contrast, behind[scheme] = opened.page.evaluate(CONTRAST, selector)
            assert contrast >= 4.5, (scheme, selector)
        opened.page.click("label[title=Light]:visible, label[title=Dark]:visible")
    assert behind["slate"] != behind["default"]
    assert opened.foreign == [] and opened.problems == []


def test_page_forbids_traffic(fresh: Any, address: str) -> None:
    demo = fresh()
    policy = demo.page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert re.search(r"default-src 'none'.*connect-src 'self';", policy)
    [scripts] = re.findall("script-src ([^;]*)", policy)
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & set(scripts.split())
    elsewhere = address.replace("127.0.0.1", "localhost")
    script = "u => fetch(u).then(() => 'sent', () => 'refused')"
    assert demo.page.evaluate(script, f"{address}/demo/demo.json") == "sent"
    assert demo.page.evaluate(script, f"{elsewhere}/demo/demo.json") == "refused"
