"""The service of the page on deployment: started, asked, and compared with the predictor."""

from __future__ import annotations

import importlib.util
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import ferzoo
from ferzoo.labels import FERPLUS

pytest.importorskip("onnxruntime", reason="comes with the extra export")
pytest.importorskip("onnxscript", reason="comes with the extra export")

DOCS = Path(__file__).parents[2] / "docs"
PHOTO = DOCS / "images" / "astronaut.jpg"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("serve", DOCS / "examples" / "serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path_factory.mktemp("served") / "lanmsff.onnx"
    ferzoo.export("lanmsff", path, preprocess=True, softmax=True)
    server = module.serve(str(path), 0)
    server.RequestHandlerClass.log_message = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def post(address: str, data: bytes) -> tuple[int, dict]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(address, data=data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_answers_as_the_predictor(address: str) -> None:
    status, scores = post(address, PHOTO.read_bytes())
    (face,) = ferzoo.Predictor("lanmsff", detect=False)(PHOTO)
    assert status == 200 and tuple(scores) == FERPLUS
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    # Preprocessing inside the file differs from Pillow's by single grey levels.
    assert scores == pytest.approx(face.scores, abs=0.02)


def test_a_picture_that_lies_on_its_side_is_turned(address: str) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    with Image.open(PHOTO) as photo:
        photo.rotate(90, expand=True).save(file, "png", exif=exif)
    assert post(address, file.getvalue()) == post(address, PHOTO.read_bytes())


def test_it_refuses_what_is_no_picture(address: str) -> None:
    status, answer = post(address, b"not a picture")
    assert status == 400 and "error" in answer
    status, answer = post(address, b"")
    assert status == 413 and "bytes" in answer["error"]
