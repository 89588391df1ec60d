"""The demo's page, built once by mkdocs with the site's own settings, and Chromium on it."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

BACKEND = """async () => {
  const networks = await import('/demo/networks.js');
  window.pixels = await import('/demo/pixels.js');
  window.cfg = await networks.configuration();
  window.both = await networks.load(window.cfg);
}"""


@pytest.fixture(scope="session")
def png() -> Callable[[Image.Image], bytes]:
    """The file of an image."""

    def encode(image: Image.Image) -> bytes:
        file = io.BytesIO()
        image.save(file, "png")
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of one page."""
    pytest.importorskip("material", reason="comes with the extra docs")
    pytest.importorskip("latex2mathml", reason="comes with the extra docs")
    pytest.importorskip("onnxscript", reason="comes with the extra export")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    source, target = tmp_path_factory.mktemp("docs"), tmp_path_factory.mktemp("site")
    for path in ("demo.md", "demo", "images", "javascripts", "stylesheets"):
        copy = shutil.copytree if (DOCS / path).is_dir() else shutil.copyfile
        copy(DOCS / path, source / path)
    nav = [{"Browser demo": "demo.md"}]
    config = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(source), site_dir=str(target), nav=nav, plugins=["search"]
    )
    build(config)
    stated = json.loads((target / "demo" / "demo.json").read_text(encoding="utf-8"))
    if "missing" in stated:
        (pytest.fail if importlib.import_module("doc_tools.demo").required() else pytest.skip)(stated["missing"])
    return target


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where a plain static server has the site."""
    with importlib.import_module("doc_tools.demo_browser").served(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium with a camera that shows a moving pattern; who is not granted it is denied it."""
    pytest.importorskip("playwright", reason="comes with the extra demo")
    tools = importlib.import_module("doc_tools.demo_browser")
    if tools.chromium() is None:
        pytest.skip("there is no Chromium on this machine")
    with tools.browser("--use-fake-device-for-media-stream", "--deny-permission-prompts") as started:
        yield started


class Demo:
    """An open demo page; what it asked of other origins and what went wrong is kept."""

    def __init__(self, context: Any, address: str) -> None:
        self.address, self.foreign, self.problems = address, [], []
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)
        context.on("request", lambda request: self._request(request.url))
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(f"{address}/demo/")
        self.wait("ready")

    def _request(self, url: str) -> None:
        if not url.startswith((self.address, "blob:", "data:")):
            self.foreign.append(url)

    def wait(self, state: str) -> str:
        """Wait until the demo is in a state, and give its message."""
        self.page.wait_for_selector(f"#demo[data-state={state}]")
        return self.page.inner_text("#demo-status")

    def give(self, name: str, data: bytes, state: str = "done") -> str:
        """Choose a file, and give the message."""
        self.page.set_input_files("#demo-file", {"name": name, "mimeType": "image/png", "buffer": data})
        return self.wait(state)


@pytest.fixture(scope="session")
def demo(browser: Any, address: str) -> Iterator[Demo]:
    """The page with both networks loaded; every test goes through it to save their loading."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = Demo(context, address)
    opened.page.evaluate(BACKEND)
    yield opened
    context.close()


@pytest.fixture
def fresh(browser: Any, address: str) -> Iterator[Any]:
    """Open the page anew, with the options of a Playwright context."""
    contexts = []

    def open_page(**options: Any) -> Demo:
        contexts.append(browser.new_context(**options))
        return Demo(contexts[-1], address)

    yield open_page
    for context in contexts:
        context.close()
