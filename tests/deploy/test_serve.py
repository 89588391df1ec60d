"""The service of the page on deployment: started, asked, and compared with the predictor."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ferzoo
from ferzoo.labels import FERPLUS

DOCS = Path(__file__).parents[2] / "docs"
PHOTO = DOCS / "images" / "astronaut.jpg"


@pytest.fixture(scope="module")
def address(lanmsff_whole_onnx: Path) -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("serve", DOCS / "examples" / "serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.serve(str(lanmsff_whole_onnx), 0)
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


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA"])
def test_pictures_of_other_modes(mode: str, address: str, tmp_path: Path) -> None:
    with Image.open(PHOTO) as photo:
        image = photo.convert("L" if mode == "LA" else "RGB").convert(mode)
    if mode in ("LA", "RGBA"):  # a face that fades away to the left
        image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    (tmp_path / "face.png").write_bytes(encoded(image, "png"))
    status, scores = post(address, (tmp_path / "face.png").read_bytes())
    (face,) = ferzoo.Predictor("lanmsff", detect=False)(tmp_path / "face.png")
    assert status == 200 and scores == pytest.approx(face.scores, abs=0.02)


@pytest.mark.parametrize(("dtype", "kind"), [("uint16", "png"), ("int32", "tiff"), ("float32", "tiff")])
def test_pictures_of_more_bits_are_refused(dtype: str, kind: str, address: str) -> None:
    with Image.open(PHOTO) as photo:
        pixels = np.asarray(photo.convert("L")).astype(dtype) * 100
    status, answer = post(address, encoded(Image.fromarray(pixels), kind))
    assert status == 400 and answer["error"].startswith("Send a picture of 8 bits a channel")


@pytest.mark.parametrize("length", ["abc", "-5", "", "1.5"])
def test_lengths_that_are_none(length: str, address: str) -> None:
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=60)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    with contextlib.closing(connection), connection.getresponse() as answer:
        assert answer.status == 400 and "Content-Length" in json.load(answer)["error"]


def test_a_damaged_picture_and_another_format_are_refused(address: str) -> None:
    with Image.open(PHOTO) as photo:
        small = photo.resize((48, 48))
    png = encoded(small.resize((300, 300)).effect_spread(100), "png")
    first, second, *rest = png.split(b"IDAT")
    broken = b"IDAT".join([first, second]) + b"\0\1\2\3" + b"IDAT".join(rest)  # no error of the system to Pillow
    with pytest.raises(SyntaxError), Image.open(io.BytesIO(broken)) as image:
        image.load()
    for data in (broken, png[:200], encoded(small, "bmp"), encoded(small, "eps")):
        status, answer = post(address, data)
        assert status == 400 and answer["error"].startswith("Send a picture of 8 bits a channel as JPEG, PNG or WebP")


def test_it_refuses_what_is_no_picture(address: str) -> None:
    status, answer = post(address, b"not a picture")
    assert status == 400 and "error" in answer
    status, answer = post(address, b"")
    assert status == 413 and "bytes" in answer["error"]
