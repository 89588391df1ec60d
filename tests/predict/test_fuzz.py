"""A thousand damaged files: each is predicted or reported, and none ends the run."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferzoo.errors import ImageError
from ferzoo.predict.predictor import Predictor

COUNT, SEED = 1000, 20240613


def originals() -> dict[str, bytes]:
    """Small pictures in several formats and modes."""
    rng = np.random.default_rng(SEED)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8)).resize((40, 48), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted = {
        "jpg": ("JPEG", smooth, {"exif": exif}),
        "progressive.jpg": ("JPEG", smooth, {"progressive": True}),
        "cmyk.jpg": ("JPEG", smooth.convert("CMYK"), {}),
        "png": ("PNG", smooth, {"exif": exif}),
        "palette.png": ("PNG", smooth.convert("P"), {"transparency": 3}),
        "grey16.png": ("PNG", Image.fromarray(np.asarray(smooth.convert("L")).astype(np.uint16) * 257), {}),
        "webp": ("WEBP", smooth, {"exif": exif}),
        "lossless.webp": ("WEBP", smooth.convert("RGBA"), {"lossless": True}),
        "gif": ("GIF", smooth, {"save_all": True, "append_images": [smooth.rotate(90)]}),
        "bmp": ("BMP", smooth, {}),
        "tif": ("TIFF", smooth, {"exif": exif}),
        "lzw.tif": ("TIFF", smooth, {"compression": "tiff_lzw"}),
        "jpeg.tif": ("TIFF", smooth, {"compression": "jpeg"}),
    }
    files = {}
    for suffix, (kind, image, options) in wanted.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[suffix] = buffer.getvalue()
    return files


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a file: flip bits, cut it, swap or repeat parts, or edit its header."""
    out = bytearray(data)
    kind = rng.choice(("bits", "bits", "cut", "swap", "repeat", "header", "header", "extreme", "insert"))
    if kind == "bits":
        for _ in range(rng.choice((1, 4, 16, 64))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del out[rng.randrange(len(out)) :]
    elif kind in ("swap", "repeat"):
        size = rng.randrange(1, max(2, len(out) // 4))
        a, b = (rng.randrange(len(out) - size) for _ in range(2))
        first, second = bytes(out[a : a + size]), bytes(out[b : b + size])
        out[b : b + size] = first
        if kind == "swap":
            out[a : a + size] = second
    elif kind == "header":
        for _ in range(rng.choice((1, 2, 4))):
            out[rng.randrange(min(64, len(out)))] = rng.randrange(256)
    elif kind == "extreme":
        # Lengths, sizes and offsets are where a reader trusts the file most.
        at = rng.randrange(min(len(out), 200))
        out[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x20\0"))
    else:
        at = rng.randrange(len(out))
        out[at:at] = rng.randbytes(rng.randrange(1, 40))
    return bytes(out)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    rng, files = random.Random(SEED), sorted(originals().items())
    for i in range(COUNT):
        suffix, data = files[i % len(files)]
        (folder / f"{i:04d}.{suffix}").write_bytes(mutate(data, rng))
    return folder


def test_originals_are_read(colours, tmp_path) -> None:
    for suffix, data in originals().items():
        path = tmp_path / f"x.{suffix}"
        path.write_bytes(data)
        (face,) = Predictor(colours, detect=False)(path)
        assert face.box in ((0, 0, 40, 48), (0, 0, 48, 40)), suffix


@pytest.mark.filterwarnings("error")
def test_each_is_predicted_or_reported(colours, damaged) -> None:
    ends: Counter[str] = Counter()
    # The middle third of each picture: boxes, clipping and crops take part too.
    predictor = Predictor(colours, detector=lambda rgb: [np.array([1, 1, 2, 2]) * np.tile(rgb.shape[1::-1], 2) / 3])
    for prediction, path in zip(predictor.stream(damaged), sorted(damaged.iterdir()), strict=True):
        assert prediction.source == path
        if prediction.error:
            assert type(prediction.error) is ImageError and str(prediction.error).startswith(str(path))
            assert not prediction.faces
            ends["reported"] += 1
        else:
            (face,) = prediction.faces
            assert sum(face.scores.values()) == pytest.approx(1)
            ends["predicted"] += 1
    # Had the damage spared nearly all, or nearly none, this would show little.
    assert min(ends["reported"], ends["predicted"]) > COUNT / 5 and ends.total() == COUNT
