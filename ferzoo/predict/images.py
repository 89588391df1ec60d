"""From a file, a PIL image or an array to an upright RGB image."""

from __future__ import annotations

import glob
import os
import re
import stat
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ..errors import ImageError

__all__ = [
    "MAX_PIXELS",
    "Source",
    "decode",
    "exact",
    "expand",
    "is_many",
    "is_open_file",
    "open_image",
    "printable",
    "read_image",
    "to_image",
    "to_rgb",
]

Source = str | os.PathLike[str] | Image.Image | np.ndarray

#: Images of this many pixels are refused before they are decoded: 300 MB as RGB, and a few bytes of a file can ask
#: for them.
MAX_PIXELS = 100_000_000

# No format that runs another program to decode (EPS) or draws a page of any size (WMF).
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")
_ORIENTATION_TAG = 0x0112
#: EXIF 2.32, table 6: how to turn the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that every terminal takes: bytes that are no UTF-8 and control characters become `?`."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def exact(path: str | os.PathLike[str]) -> str:
    r"""A path as text for data, no two of which are the same: a byte that is no UTF-8 becomes ``\xNN``.

    Backslashes are doubled in such a name, and, where they part no folders, in one that looks like it; every other
    name is as it is.
    """
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    if not re.search(r"[\udc80-\udcff]" if os.name == "nt" else r"\\x[0-9a-f]{2}|[\udc80-\udcff]", text):
        return text
    return text.replace("\\", r"\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_many(source: str | os.PathLike[str]) -> bool:
    """Whether a path stands for several files: an existing folder, or a pattern that is no file itself."""
    if os.path.isdir(source):
        return True
    return glob.has_magic(os.fspath(source)) and not os.path.lexists(source)


def is_open_file(value: Any) -> bool:
    """Whether a value is an open file, whose lines are no images; what can `read` alone may be a grabber of frames."""
    return hasattr(value, "readline")


def expand(source: str | os.PathLike[str]) -> list[Path]:
    """Files that a path stands for, sorted by name.

    Args:
        source: A file, which need not exist; a folder, for every file directly in it whose name does not start
            with a dot; or a pattern of `glob`, where ``**`` goes into folders.

    Raises:
        ImageError: If a folder or pattern holds no file.
    """
    if not is_many(source):
        return [Path(source)]
    if os.path.isdir(source):
        try:
            with os.scandir(source) as entries:
                names = [e.path for e in entries if not e.name.startswith(".") and not _is_folder(e)]
        except OSError as error:
            raise ImageError(f"The folder {printable(source)} cannot be read: {error.strerror}.") from error
        hint = f"There is no file in the folder {printable(source)}. Give {printable(source)}/**/* for its folders."
    else:
        names = [name for name in glob.glob(os.fspath(source), recursive=True) if not os.path.isdir(name)]
        hint = f"No file matches {printable(source)}."
    if not names:
        raise ImageError(hint)
    return [Path(name) for name in sorted(names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle: reading the image says so
        return False


def to_rgb(source: Source) -> np.ndarray:
    """Read one image, whatever it comes as.

    Args:
        source: Path of a file, PIL image, or array as `from_array` takes it.

    Returns:
        RGB (H, W, 3), uint8, upright.

    Raises:
        ImageError: If it is no image that can be used.
    """
    image = to_image(source)
    return image if isinstance(image, np.ndarray) else np.array(image)


def to_image(source: Source) -> Image.Image | np.ndarray:
    """The same as a PIL image in RGB, but for an array, which stays one; it may be the very object that was given."""
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, Image.Image):
        try:
            return from_pil(source)
        except ImageError as error:
            raise ImageError(f"The image {error}") from error.__cause__
    if isinstance(source, str | os.PathLike):
        return open_image(source)
    tensor = hasattr(source, "permute")
    hint = " A tensor (C, H, W) in [0, 1]: (255 * t).byte().permute(1, 2, 0).numpy()." if tensor else ""
    if isinstance(source, bytes | bytearray | memoryview):
        hint = " The bytes of a file: PIL.Image.open(io.BytesIO(data))."
    elif is_open_file(source):
        hint = " An open file: PIL.Image.open(file)."
    raise ImageError(f"An image is a path, a PIL image or an RGB uint8 array, not {type(source).__name__}.{hint}")


def from_array(array: np.ndarray) -> np.ndarray:
    """Check an array, and bring grey and RGBA to RGB.

    Args:
        array: uint8, RGB (H, W, 3), grey (H, W) or (H, W, 1), or RGBA (H, W, 4), which is laid on white.

    Raises:
        ImageError: If its type or shape is another, or it has no pixels.
    """
    if array.dtype != np.uint8:
        hint = " Values in [0, 1]: (255 * array).round().astype(np.uint8)." if array.dtype.kind == "f" else ""
        raise ImageError(f"An image array must be uint8 with values from 0 to 255, got {array.dtype}.{hint}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = " Channels come last: array.transpose(1, 2, 0)." if first else ""
        raise ImageError(f"An image array must be (H, W, 3), (H, W), (H, W, 1) or (H, W, 4), got {array.shape}.{hint}")
    if not array.size:
        raise ImageError(f"An image array must have pixels, got {array.shape}.")
    if array.ndim == 3 and array.shape[2] == 3:
        return array
    return np.array(_rgb(Image.fromarray(np.ascontiguousarray(array.squeeze(2) if array.shape[2:] == (1,) else array))))


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """`open_image` as an array, RGB (H, W, 3), uint8."""
    return np.array(open_image(path))


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read a file: the first frame, turned upright as EXIF says, in RGB.

    16-bit samples are reduced to 8, or taken as 8 bits where none is above 255; CMYK, palettes and the like converted,
    transparency laid on white.

    Args:
        path: A JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM file, or HEIF where Pillow has a plugin.

    Returns:
        A picture in RGB, upright.

    Raises:
        ImageError: If it is missing, empty, truncated, no image, or of 100 megapixels or more; names the file.
    """
    name = printable(path)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        what = "there is no such file" if missing else f"cannot be read: {getattr(error, 'strerror', error)}"
        raise ImageError(f"{name}: {what}.") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise ImageError(f"{name}: is {kind}; one image is wanted here.")
    if not status.st_size:
        raise ImageError(f"{name}: is empty (0 bytes).")
    return decode(path, name)


def decode(file: str | os.PathLike[str] | IO[bytes], name: str) -> Image.Image:
    """The same for what is known to be there: a path or an open file, that an error calls `name`."""
    Image.init()
    formats = [kind for kind in _FORMATS if kind in Image.OPEN]
    try:
        with warnings.catch_warnings():
            # Pillow's own bound warns from 89 megapixels up; ours is checked below, and damaged metadata is no news.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=formats) as image:
                picture = from_pil(image)
                # A copy is free of the file and of its other frames.
                return picture.copy() if picture is image else picture
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error.__cause__
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: is no image of a known format.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {_too_large()} ({error})") from error
    except PermissionError as error:
        raise ImageError(f"{name}: cannot be read: permission denied.") from error
    except Exception as error:  # a damaged header makes Pillow raise nearly any kind
        raise ImageError(f"{name}: cannot be decoded: {_reason(error)}.") from error


def from_pil(image: Image.Image) -> Image.Image:
    """Turn a PIL image upright and convert it; the image itself is left as it is.

    Args:
        image: Any mode; of an animated one the current frame.

    Returns:
        A picture in RGB, upright: the image itself where it is that already.

    Raises:
        ImageError: If it has 100 megapixels or more, none at all, is truncated, or its pixels have no 8-bit meaning.
    """
    if image.width * image.height >= MAX_PIXELS:
        raise ImageError(f"{_too_large()} ({image.width}x{image.height})")
    if not image.width or not image.height:
        raise ImageError(f"has no pixels ({image.width}x{image.height}).")
    try:
        image.load()
        # After loading: TIFF is turned by Pillow itself then, and PNG may keep EXIF behind the pixels.
        orientation = _orientation(image)
        rgb = _rgb(image)
        return rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb
    except ImageError:
        raise
    except Exception as error:  # as in open_image
        raise ImageError(f"cannot be decoded: {_reason(error)}.") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a picture with damaged EXIF is still a picture
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode == "F":
        raise ImageError("has 32-bit float pixels, whose range is not known. Convert it to 8 or 16 bits.")
    if image.mode.lower() in ("rgba", "la", "pa") or "transparency" in image.info:
        rgba = image.convert("RGBA") if image.mode != "La" else image.convert("LA").convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8: Pillow's own conversion clips at 255 instead of scaling."""
    values: Any = np.asarray(image)
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise ImageError("has 32-bit pixels outside 0 to 65535. Convert it to 8 or 16 bits.")
    # As 16 bits all of it would be black: values up to 255 are 8 bits in a wider type.
    return Image.fromarray((values >> 8 if values.max() > 255 else values).astype(np.uint8))


def _too_large() -> str:
    return f"has {MAX_PIXELS // 1_000_000} megapixels or more, which is refused before decoding. Scale it down."


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
