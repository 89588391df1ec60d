"""Files of every mode and orientation, and files that are none."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ferzoo.errors import ImageError
from ferzoo.predict.images import exact, expand, printable, read_image, to_rgb


@pytest.fixture
def picture() -> Image.Image:
    """Four patches of another colour each, wider than high."""
    array = np.zeros((16, 32, 3), np.uint8)
    array[:8, :16], array[:8, 16:], array[8:, :16], array[8:, 16:] = (200, 30, 40), (30, 200, 40), (30, 40, 200), 90
    return Image.fromarray(array)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_exif_orientation(tmp_path, picture, orientation, suffix) -> None:
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, quality=100, **({"subsampling": 0} if suffix == "jpg" else {}))
    with Image.open(path) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    got = read_image(path)
    assert got.shape == wanted.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    assert abs(got - wanted).max() == 0


def test_damaged_exif_is_no_reason_to_refuse(tmp_path, picture) -> None:
    path = tmp_path / "x.jpg"
    picture.save(path, exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert read_image(path).shape == (16, 32, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_modes(tmp_path, mode) -> None:
    array = np.tile(np.array([0, 255], np.uint8).repeat(8), (16, 1))
    grey = Image.fromarray(array)
    image = Image.fromarray(array.astype(np.uint16) * 257) if mode == "I;16" else grey.convert("RGB").convert(mode)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    assert abs(read_image(path) - array[:, :, None].astype(int)).max() == 0
    assert abs(to_rgb(image) - array[:, :, None].astype(int)).max() == 0


def test_sixteen_bits_keep_their_middle(tmp_path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.full((4, 4), 0x8040, np.uint16)).save(path)
    assert (read_image(path) == 0x80).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_eight_bits_in_a_wider_type_are_no_black_picture(tmp_path, kind) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(grey.astype(kind))
    image.save(tmp_path / "x.tif")
    for got in (read_image(tmp_path / "x.tif"), to_rgb(image)):
        assert (got == grey[:, :, None]).all()
    assert (to_rgb(Image.fromarray(grey.astype(kind) + 1))[:-1] == 0).all()


def test_float_pixels_are_refused(tmp_path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(path)
    with pytest.raises(ImageError, match="float"):
        read_image(path)


def test_transparency_is_laid_on_white(tmp_path) -> None:
    for path in (tmp_path / "x.png", tmp_path / "x.gif"):
        image = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
        image.paste((0, 0, 0, 0), (0, 0, 2, 4))
        image.save(path)
        got = read_image(path)
        assert (got[:, :2] == 255).all() and (got[:, 2:] == (255, 0, 0)).all()


def test_animations_give_their_first_frame(tmp_path) -> None:
    path = tmp_path / "x.gif"
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (read_image(path) == (255, 0, 0)).all()


def test_arrays() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for array in (grey, grey[:, :, None], np.stack([grey] * 3, 2)):
        assert (to_rgb(array) == grey[:, :, None]).all() and to_rgb(array).shape == (3, 4, 3)
    clear = np.dstack([grey, grey, grey, np.zeros_like(grey)])
    assert (to_rgb(clear) == 255).all()


@pytest.mark.parametrize(
    ("thing", "word"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((3, 4, 5), np.uint8), "transpose"),
        (np.zeros((4, 4, 2), np.uint8), "shape|must be"),
        (np.zeros((0, 4, 3), np.uint8), "pixels"),
        (np.zeros(4, np.uint8), "must be"),
        (42, "int"),
        (None, "NoneType"),
    ],
)
def test_things_that_are_no_images(thing, word) -> None:
    with pytest.raises(ImageError, match=word):
        to_rgb(thing)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header asks for any size, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000_000, 1), (60_000, 60_000)])
def test_huge_images_are_refused_before_decoding(tmp_path, size) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_of(*size))
    with pytest.raises(ImageError, match=r"huge\.png.*100 megapixels"):
        read_image(path)


def test_just_under_the_bound_needs_no_warning(tmp_path, recwarn, monkeypatch) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (9, 11)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    monkeypatch.setattr("ferzoo.predict.images.MAX_PIXELS", 100)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(path).close()
    assert read_image(path).shape == (11, 9, 3)
    assert not recwarn.list


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_truncated_files(tmp_path, suffix) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"x\."):
        read_image(path)


def test_files_that_are_none(tmp_path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, word in {
        "empty.jpg": "empty",
        "text.jpg": "no image",
        "page.eps": "no image",
        "pipe.jpg": "no regular file",
        "missing.jpg": "no such file",
        ".": "a folder",
        "a\0b.jpg": "cannot be read",
    }.items():
        with pytest.raises(ImageError, match=word):
            read_image(tmp_path / name)


def test_expand(tmp_path) -> None:
    for name in ("b.jpg", "a.jpg", ".hidden.jpg", "deep/c.jpg", "odd[1].jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def names(source: Path | str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in expand(source)]

    assert names(tmp_path) == ["a.jpg", "b.jpg", "odd[1].jpg"]
    assert names(f"{tmp_path}/?.jpg") == ["a.jpg", "b.jpg"]
    assert names(f"{tmp_path}/**/*.jpg") == ["a.jpg", "b.jpg", "deep/c.jpg", "odd[1].jpg"]
    assert names(tmp_path / "odd[1].jpg") == ["odd[1].jpg"]
    assert names(tmp_path / "missing.jpg") == ["missing.jpg"]
    (tmp_path / "bare").mkdir()
    for nothing in (tmp_path / "bare", f"{tmp_path}/*.png"):
        with pytest.raises(ImageError, match="o file"):
            expand(nothing)


def test_links_that_lead_nowhere_stop_no_folder(tmp_path) -> None:
    for name, target in (("a.png", "gone.png"), ("b.png", "b.png"), ("folder", ".")):
        (tmp_path / name).symlink_to(target)
    assert [path.name for path in expand(tmp_path)] == ["a.png", "b.png"]
    with pytest.raises(ImageError, match=r"b\.png: cannot be read: Too many levels"):
        read_image(tmp_path / "b.png")


def test_exact_names_are_told_apart() -> None:
    names = [
        b"a\xff.png",
        b"a\xfe.png",
        rb"a\xff.png",
        rb"a\\xff.png",
        b"a\\\xff.png",
        "a\n\t\u65e5.png".encode(),
        b"a?.png",
    ]
    texts = [exact(os.fsdecode(name)) for name in names]
    assert len(set(texts)) == len(texts)
    assert texts[0] == r"a\xff.png" and texts[-2:] == ["a\n\t\u65e5.png", "a?.png"]
    # With any decoder of escapes the bytes come back.
    assert [t.encode().decode("unicode_escape").encode("latin-1") for t in texts[:5]] == names[:5]
    assert exact(r"C:\photos\a.png") == r"C:\photos\a.png"


def test_exact_names_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    texts = [exact(name) for name in (r"C:\xa1\b.png", "a\udcff.png", "a\udcfe.png")]
    monkeypatch.undo()
    assert texts == [r"C:\xa1\b.png", r"a\xff.png", r"a\xfe.png"]


def test_printable_names() -> None:
    assert printable(os.fsdecode(b"a\xff\x1b[31m.jpg")).isprintable()
    assert printable("Zoë 1.jpg") == "Zoë 1.jpg"
