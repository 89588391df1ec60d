"""The demo's camera without a browser: a stand-in for its stream, in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CAMERA = Path(__file__).parents[2] / "docs" / "demo" / "camera.js"
# A stream of one track, which can be unplugged, and frames that tell whether they were closed.
BEFORE = """
import { Camera } from "./camera.mjs";
const track = new EventTarget();
Object.assign(track, { on: true, stop: () => (track.on = false) });
const stream = { getTracks: () => [track], getVideoTracks: () => [track] };
const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true });
define("navigator", { mediaDevices: { getUserMedia: async () => stream } });
define("document", { createElement: () => ({ play: async () => {} }) });
define("requestAnimationFrame", (then) => setTimeout(then));
const frames = [];
define("createImageBitmap", async () => {
  frames.push({ open: true, close() { this.open = false; } });
  return frames.at(-1);
});
const camera = new Camera();
await camera.start();
const told = (value) => console.log(JSON.stringify(value));
"""


@pytest.fixture
def tell(tmp_path: Path) -> Any:
    """Run lines after those above; gives what they told."""
    node = shutil.which("node")
    if not node:
        pytest.skip("needs Node")

    def run(lines: str) -> Any:
        shutil.copyfile(CAMERA, tmp_path / "camera.mjs")
        (tmp_path / "test.mjs").write_text(BEFORE + lines, encoding="utf-8")
        done = subprocess.run([node, tmp_path / "test.mjs"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_camera_that_is_unplugged_before_its_first_frame(tell: Any) -> None:
    unplug = 'const before = camera.running; track.dispatchEvent(new Event("ended"));'
    assert tell(f"{unplug} told([before, camera.running, track.on]);") == [True, False, False]


def test_an_old_stream_that_ends_leaves_the_new_one(tell: Any) -> None:
    again = "const other = Object.assign(new EventTarget(), { stop() {} });"
    again += "navigator.mediaDevices.getUserMedia = async () => ({ getTracks: () => [other] }); await camera.start();"
    assert tell(f"{again} track.dispatchEvent(new Event('ended')); told([track.on, camera.running]);") == [False, True]


def test_every_frame_is_closed(tell: Any) -> None:
    take = "let n = 0; const take = async () => { if (++n === 3) throw new Error('no'); };"
    run = "await camera.run(take).catch((error) => told([error.message, frames.map(({ open }) => open)]));"
    assert tell(take + run) == ["no", [False, False, False]]
