"""The browser demo: the network, its facts and the packages of npm, put beside the page when the site is built."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ferzoo.errors import MissingExtraError
from ferzoo.weights.configs import checkpoints

from .common import ROOT, rows
from .npm import UnavailableError, unpack

PAGE = "demo.md"
#: The smallest network whose weights come in the wheel.
NETWORK = "lanmsff.ferplus"
#: How the detector's boxes stand to the faces of the training data, as `demo_framing.py` measured it.
FRAMING = ROOT / "docs" / "results" / "demo_framing.json"

#: Nothing but the site itself is read, and nothing is sent. WebAssembly needs the one word that allows it.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {scripts}; connect-src 'self'; worker-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'self'; form-action 'self'"
)
INLINE = re.compile(r"<script(?:\s+type=\"?module\"?)?>(.*?)</script>", re.S)


def required() -> bool:
    """Whether a site without the demo is a failure, as FERZOO_DEMO=required says."""
    return os.environ.get("FERZOO_DEMO") == "required"


def packages() -> list[dict[str, Any]]:
    """The pinned packages."""
    return json.loads(Path(__file__).with_name("demo_packages.json").read_text(encoding="utf-8"))


def build(site: Path) -> None:
    """Put what the page needs into a built site.

    `demo/demo.json` says what is there; or, under `missing`, why nothing is.

    Args:
        site: Folder of the site.

    Raises:
        ValueError: If a package is not the one that was pinned.
    """
    target = site / "demo"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            stated = _make(Path(folder))
        except (UnavailableError, MissingExtraError) as error:
            # A warning of mkdocs' own logger makes a strict build fail.
            log = logging.getLogger("mkdocs.hooks.demo" if required() else "ferzoo.docs")
            log.warning("The browser demo is left out: %s", error)
            stated = {"missing": str(error)}
        else:
            for path in Path(folder).iterdir():
                shutil.copyfile(path, target / path.name)
    (target / "demo.json").write_text(json.dumps(stated, indent=1), encoding="utf-8")


def _make(folder: Path) -> dict[str, Any]:
    import ferzoo
    from ferzoo.registry.exported import OnnxFile

    for package in packages():
        unpack(package, folder)
    network = folder / f"{NETWORK}.onnx"
    ferzoo.export(NETWORK, network, softmax=True)
    cfg = OnnxFile(network).cfg
    channels, height, width = cfg["input_size"]
    if channels != 1 or cfg["interpolation"] != "bicubic" or cfg["crop_pct"] != 1:
        raise ValueError(f"{NETWORK}: the demo only makes grey, bicubic, whole crops.")
    return {
        "name": NETWORK,
        "file": network.name,
        "labels": cfg["label_names"],
        "height": height,
        "width": width,
        "mean": cfg["mean"][0],
        "std": cfg["std"][0],
        "framing": framing(),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
    }


def framing() -> dict[str, Any]:
    """Margin and shift of the detector's boxes."""
    return json.loads(FRAMING.read_text(encoding="utf-8"))


def with_policy(html: str) -> str:
    """State in a page's head what it may load: its own inline scripts by their hashes, else only the site's files."""
    digests = (hashlib.sha256(script.encode()).digest() for script in INLINE.findall(html))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    head = '<meta charset="utf-8">'
    assert head in html
    policy = POLICY.format(scripts=scripts)
    return html.replace(head, f'{head}\n<meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


def network_table() -> str:
    """The network of the demo, and how right it is."""
    found = checkpoints()[NETWORK]
    measured = found.metrics["validation"]
    size = "x".join(map(str, found.cfg["input_size"]))
    cells = (f"`{NETWORK}`", size, measured["rows"], measured["accuracy"], measured["balanced_accuracy"], found.license)
    header = ("weights", "input", "faces of FERPlus validation", "accuracy %", "balanced %", "licence")
    return rows(header, [cells], right=(2, 3, 4))


def framing_table() -> str:
    """What was measured of the detector's boxes."""
    found = framing()
    cells = [f"{found[key]:+.3f}" for key in ("margin", "right", "down")]
    found_of = f"{found['found']} of {found['faces']}"
    header = ("margin", "to the right", "down", "faces found", "command")
    return rows(header, [(*cells, found_of, f"`{found['command']}`")], right=(0, 1, 2, 3))


def package_table() -> str:
    """Whose work the demo stands on, with the texts of the licences, which lie beside the page."""
    lines = []
    for package in packages():
        texts = (f"[{name}](demo/licences/{file})" for name, file in package["licences"].items())
        lines.append((f"`{package['name']}`", package["version"], ", ".join(texts), package["what"]))
    return rows(("package", "version", "licence", "what it does"), lines)


TABLES: dict[str, Callable[..., str]] = {
    "demo-framing": framing_table,
    "demo-network": network_table,
    "demo-packages": package_table,
}
