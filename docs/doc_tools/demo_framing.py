"""How the training images stand to the boxes of the demo's face detector.

``python docs/doc_tools/demo_framing.py FOLDER`` measures it in Chromium as `ferzoo.predict.margin` does for the Haar
cascade, and writes docs/results/demo_framing.json, which the demo reads. FOLDER holds FERPlus' validation.parquet.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doc_tools import demo, npm  # noqa: E402
from doc_tools.common import ROOT  # noqa: E402
from doc_tools.demo_browser import browser, served  # noqa: E402
from ferzoo.data.fer2013 import read_ferplus  # noqa: E402
from ferzoo.predict.margin import measure  # noqa: E402

LOAD = "async () => { window.detector = await (await import('/demo/detector.js')).Detector.load(); }"
DETECT = """async (source) => {
  const blob = await (await fetch('data:image/png;base64,' + source)).blob();
  return window.detector.detect(await createImageBitmap(blob));
}"""


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--faces", type=int, default=500, help="how many faces, evenly spread (default: 500)")
    args = parser.parse_args()
    images = read_ferplus(args.folder, "validation").images
    chosen = np.linspace(0, len(images) - 1, args.faces).round().astype(int)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, browser() as chromium:
        shutil.copytree(ROOT / "docs" / "demo", Path(folder) / "demo")
        for package in demo.packages():
            npm.unpack(package, Path(folder) / "demo")
        page = chromium.new_page()
        page.goto(f"{address}/demo/detector.js", timeout=120_000)
        page.evaluate(LOAD)

        def detect(rgb: np.ndarray) -> np.ndarray:
            file = io.BytesIO()
            Image.fromarray(rgb).save(file, "png")
            return np.array(page.evaluate(DETECT, base64.b64encode(file.getvalue()).decode()))

        result = measure(images[chosen], detect)
    stated = {
        "command": f"python docs/doc_tools/demo_framing.py FOLDER --faces {args.faces}",
        "faces": result.faces,
        "found": result.found,
        "margin": round((result.ratio - 1) / 2, 3),
        "right": round(result.right, 3),
        "down": round(result.down, 3),
    }
    demo.FRAMING.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(stated, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
