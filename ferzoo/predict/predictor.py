"""`Predictor`: images in, faces with their expressions out."""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..data.processors import MOST_THREADS
from ..errors import ImageError, OptionError
from .crop import align, square_crop
from .faces import MARGIN, Detector, Face, check_detections
from .haar import HaarDetector
from .images import Source, expand, is_many, is_open_file, to_image
from .open_network import open_network

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .video import VideoFrame
    from .video_source import VideoSource

__all__ = ["Pending", "Prediction", "Predictor"]


@dataclass(frozen=True)
class Prediction:
    """What became of one image of many.

    Attributes:
        source: The image as it was given; a path for a file.
        faces: The faces, in the detector's order.
        width: Of the upright image, in pixels; 0 if it could not be read.
        height: The same.
        error: Why it could not be read, or None.
    """

    source: Any
    faces: list[Face] = field(default_factory=list)
    width: int = 0
    height: int = 0
    error: ImageError | None = None


@dataclass
class Pending:
    """A `Prediction` to be: box and landmarks of each face, and what the network sees of it; the rest is let go."""

    source: Any
    width: int = 0
    height: int = 0
    error: ImageError | None = None
    found: list[Any] = field(default_factory=list)
    crops: list[Any] = field(default_factory=list)


class Predictor:
    """Find the faces in images and name their expressions.

    A copy, in another process too, loads the cascade and an ONNX file anew.

    Example:
        >>> predictor = Predictor("lfnsb")
        >>> for face in predictor("photo.jpg"):
        ...     print(face.box, face.label, face.score)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module = "lfnsb",
        *,
        detector: Detector | None = None,
        detect: bool = True,
        margin: float | None = None,
        min_face: int | None = None,
        embedding: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        threads: int | None = None,
        batch_size: int = 64,
    ) -> None:
        """Load the network and the detector.

        Args:
            model: A name with trained weights, a checkpoint folder, ``"hf-hub:org/repo"``, a file that
                `ferzoo.export` wrote (``"lfnsb.onnx"``, run without torch, on the CPU), or a network, whose
                `pretrained_cfg` then says how its input is made and how its classes are called ("class 0" and so on
                where there are no `label_names`). A network is put in eval mode and runs as it is; one by name is
                fused (`ferzoo.fuse`) on a CPU.
            detector: Takes RGB (H, W, 3) uint8, returns boxes (N, 4) as x1, y1, x2, y2, or a tuple of boxes and
                landmarks (N, 5, 2), which align the crop; None for OpenCV's Haar cascade.
            detect: False takes each image, whole, as the crop of one face.
            margin: Added on each side of a box, as a fraction of its longer side, from -0.4 to 2; None for what fits
                the Haar cascade to FER-2013. A detector with tighter or wider boxes wants another.
            min_face: Side of the smallest face that the Haar cascade looks for, in pixels; None for a fortieth of
                the image, 24 px at the least.
            embedding: Also keep the vector before the classifier.
            device: Where the network computes; None for the CPU, or where a given network is.
            dtype: Floating type, as ``"bfloat16"``; None for the network's own.
            threads: Threads of torch and OpenCV during a call; None leaves them.
            batch_size: Most faces in one forward pass.

        Raises:
            MissingExtraError: Without OpenCV, if neither another detector nor ``detect=False`` is given.
            UnknownNameError: If there is no such model; names the nearest.
            CheckpointError: If it has no weights, they are damaged, or its cfg has a preprocessing that cannot be done.
            OptionError: If an argument is out of its range, does not go with the others, or the network lacks what is
                needed.
            FerzooError: Without torch or timm, for another network than an ONNX file.
        """
        share: Any = MARGIN if margin is None else margin
        if not (isinstance(share, numbers.Real) and -0.4 <= float(share) <= 2) or isinstance(share, bool):
            raise OptionError(f"margin must be a fraction of the box's side from -0.4 to 2, got {margin!r}.")
        self.margin = float(share)
        if detector is not None and (not detect or not callable(detector)):
            raise OptionError("detector must be a callable that takes an RGB array; with detect=False there is none.")
        self.batch_size = _count("batch_size", batch_size)
        self.threads = None if threads is None else _count("threads", threads, MOST_THREADS)
        # Before the weights: a missing extra should show at once.
        self.detector = (detector or HaarDetector(min_face, self.threads)) if detect else None
        self.network: Any = open_network(model, embedding, device, dtype, self.threads)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the network's order."""
        return self.network.labels

    def __call__(self, images: Any) -> Any:
        """Predict one image or many.

        Args:
            images: One image: a file's path, a PIL image, or a uint8 array, RGB (H, W, 3), grey (H, W) or RGBA.
                Many: a folder, a glob pattern, an array (N, H, W, 3), or a list or other iterable of images.

        Returns:
            For one image a list of its `Face`s, empty if none is found; for many a list of such lists, in order,
            files sorted by name. A file among many that cannot be read leaves a warning and an empty list; `stream`
            gives each file's name and error.

        Raises:
            ImageError: If the one image, or one given in memory, cannot be used; if a folder or pattern has no file.
        """
        if not is_many(images) if isinstance(images, str | os.PathLike) else _is_one(images):
            (only,) = self.stream([images])
            if only.error:
                raise only.error
            return only.faces
        out = []
        for prediction in self.stream(images):
            if prediction.error:
                if not isinstance(prediction.source, str | os.PathLike):
                    raise prediction.error
                warnings.warn(f"Left out: {prediction.error}", stacklevel=2)
            out.append(prediction.faces)
        return out

    def stream(self, images: Source | Iterable[Source]) -> Iterator[Prediction]:
        """Predict many images one by one: none is kept, and one that cannot be read stops nothing.

        Args:
            images: One image, a folder or pattern, or an iterable of images, each as `__call__` takes it.

        Yields:
            One `Prediction` an image, in order; they come in groups of about `batch_size` faces.

        Raises:
            ImageError: If a folder or pattern has no file.
        """
        sources: Any = [images] if _is_one(images) else images
        if isinstance(images, str | os.PathLike):
            sources = expand(images)
        waiting: list[Pending] = []
        crops = 0
        for source in sources:
            with self.network.limited(self.threads):
                waiting.append(self.begin(source))
            crops += len(waiting[-1].crops)
            if crops >= self.batch_size or len(waiting) >= self.batch_size:
                yield from self.finish(waiting)
                waiting, crops = [], 0
        yield from self.finish(waiting)

    def video(
        self,
        source: str | os.PathLike[str] | int | Iterable[Source] | VideoSource,
        *,
        fps: float | None = None,
        detect_every: int = 1,
        smoothing: float = 0.3,
        max_gap: float = 0.5,
        batch_frames: int | None = None,
    ) -> Iterator[VideoFrame]:
        """Find, follow and classify the faces of a video.

        Args:
            source: A video file's path, a camera's number (0 for the first), an iterable of frames, each an image as
                `__call__` takes it, or what `ferzoo.predict.video_source.open_source` gave. A camera's frames that
                come faster than they are worked on are dropped.
            fps: Frames a second; wanted for an iterable, and for a file that does not say.
            detect_every: Faces are looked for in each frame of so many, and in the last. In the frames between, a
                face that both neighbours have is taken where a straight way between its boxes leads, so the frames
                wait for the next detection; 1 to 100.
            smoothing: Time constant in seconds of the exponential moving average of each face's probabilities; 0 for
                none.
            max_gap: A face that is lost for longer than this, in seconds, comes back as a new track.
            batch_frames: Frames whose faces are classified together; None for 8, and for 1 with a camera, whose
                frames should not wait; 1 to 100. It changes no result.

        Returns:
            An iterator of one `VideoFrame` a frame, in order. If a file or a camera ends before its time, or it cannot
            be told whether a file does, a `VideoWarning` follows the last one.

        Raises:
            VideoError: If the source cannot be opened, has no frames or no frame rate, or too many frames would wait.
            ImageError: If a frame of an iterable is no image.
            MissingExtraError: Without OpenCV, for a file or a camera.
            OptionError: If an argument is out of its range.
        """
        from .video import follow

        return follow(self, source, fps, detect_every, smoothing, max_gap, batch_frames)

    def begin(self, source: Any, read: Callable[[Any], Image.Image | np.ndarray] = to_image) -> Pending:
        """Read an image, find its faces and cut them out; what is wrong with it is kept as its error."""
        try:
            image = read(source)
            if self.detector is None and isinstance(image, Image.Image):  # without the way through an array
                whole = (0, 0, *image.size)
                return Pending(source, *image.size, None, [(whole, None)], [self.network.pixels(image)])
            rgb = image if isinstance(image, np.ndarray) else np.array(image)
            found = self.find(rgb)
        except ImageError as error:
            return Pending(source, error=error)
        return Pending(source, rgb.shape[1], rgb.shape[0], None, found, self.prepare(rgb, found))

    def finish(self, waiting: Sequence[Pending]) -> list[Prediction]:
        """Classify the faces of the images that `begin` gave."""
        rows = self.classify([crop for one in waiting for crop in one.crops])
        out = []
        for one in waiting:
            faces = [self.face(box, landmarks, *next(rows)) for box, landmarks in one.found]
            out.append(Prediction(one.source, faces, one.width, one.height, one.error))
        return out

    def prepare(self, rgb: np.ndarray, found: Iterable[Any]) -> list[Any]:
        """The pixels that the network sees of each face that `find` found in an image (H, W, 3), uint8."""
        return [self.network.pixels(self.crop(rgb, *one)) for one in found]

    def crop(self, rgb: np.ndarray, box: Any, landmarks: np.ndarray | None) -> Image.Image:
        """The picture of one face that `find` found in an image (H, W, 3), uint8, turned to its landmarks (5, 2)."""
        aligned = None if landmarks is None else align(rgb, landmarks)
        if aligned is not None:
            return aligned
        return Image.fromarray(rgb) if self.detector is None else square_crop(rgb, box, self.margin)

    def find(self, rgb: np.ndarray) -> list[tuple[tuple[int, int, int, int], np.ndarray | None]]:
        """Boxes, clipped to the image, and landmarks (5, 2) or None, of one image (H, W, 3), uint8."""
        height, width = rgb.shape[:2]
        if self.detector is None:
            return [((0, 0, width, height), None)]
        # A detector of the user's may work in place.
        return check_detections(self.detector(rgb.copy()), height, width)

    def classify(self, crops: Sequence[Any]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Scores (classes,), and the embedding (D,) or None, of each face that `prepare` gave."""
        with self.network.limited(self.threads):
            parts = [self.network(crops[i : i + self.batch_size]) for i in range(0, len(crops), self.batch_size)]
        for scores, vectors in parts:
            yield from zip(scores, [None] * len(scores) if vectors is None else vectors, strict=True)

    def face(self, box: Any, landmarks: np.ndarray | None, scores: np.ndarray, vector: np.ndarray | None) -> Face:
        """The `Face` of what `find` and `classify` gave: box, landmarks (5, 2), scores (classes,), vector (D,)."""
        named = dict(zip(self.labels, scores.tolist(), strict=True))
        points = None if landmarks is None else tuple((float(x), float(y)) for x, y in landmarks)
        return Face(box, max(named, key=named.__getitem__), named, points, vector)


def _count(name: str, value: Any, most: int = 0) -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise OptionError(f"{name} must be a whole number, 1 or more, got {value!r}.")
    if most and int(value) > most:
        raise OptionError(f"{name} must be at most {most:,}, got {value:,}.")
    return int(value)


def _is_one(images: Any) -> bool:
    """Whether what is no path is one image, or none at all, and not many."""
    if isinstance(images, np.ndarray):
        # An array of paths or images is many.
        return images.ndim == 0 or (images.ndim != 4 and images.dtype.kind not in "OU")
    single = isinstance(images, Image.Image | bytes | bytearray | memoryview)
    # A tensor, and an open file, of which an iterator would give the lines.
    return single or hasattr(images, "permute") or is_open_file(images) or not isinstance(images, Iterable)
