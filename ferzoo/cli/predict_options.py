"""What the modes of `ferzoo predict` share: the arguments of the predictor, and which mode is meant."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import Any

__all__ = ["VIDEO", "mode_of", "predictor_options"]

#: Files of these suffixes are taken for videos; Python's `Predictor.video` takes any.
VIDEOS = tuple(".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .ts .mts .m2ts .wmv .flv .3gp .ogv .mjpeg .mjpg".split())
#: What holds many images and is no image itself.
HOLDERS = (".txt", ".parquet", ".tar", ".tar.gz", ".tgz")
#: Options for a video or a camera alone, as `Predictor.video` calls them.
VIDEO = ("fps", "detect_every", "smoothing", "max_gap", "batch_frames")
#: Options for many images alone.
MANY = ("resume", "keep", "column", "workers", "stop_on_error", "ray", "ray_address", "ray_workers")


def predictor_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Predictor`, the model's apart, that are on the command line."""
    names = ("margin", "min_face", "device", "threads", "batch_size")
    return {"detect": not args.no_detect, **{name: getattr(args, name) for name in names}}


def mode_of(args: argparse.Namespace) -> str:
    """Which mode is meant: "images", "video" or "many".

    Raises:
        FerzooError: If there is nothing to predict, or an argument is another mode's.
        VideoError: If a video or camera is not alone.
    """
    from ..errors import FerzooError, VideoError

    camera, videos = args.camera is not None, _with(VIDEOS, args.paths)
    if not args.paths and not camera:
        raise FerzooError("Nothing to predict: give image files, folders, one video, or --camera 0.")
    if (videos or camera) and len(args.paths) + camera > 1:
        raise VideoError(f"One video or camera at a time: {videos[0] if videos else '--camera'} has to stand alone.")
    many, video = _given(args, MANY), _given(args, VIDEO)
    if videos or camera:
        if many:
            raise FerzooError(f"{many[0]} is for many images (-o rows.csv), not for a video or camera: leave it out.")
        return "video"
    if video:
        raise FerzooError(f"{video[0]} is for videos and cameras, not for images: leave it out.")
    if args.output is None:
        if other := many or _with(HOLDERS, args.paths):
            what = f"{other[0]} is for many images, whose rows go to a file"
            raise FerzooError(f"{what}: add -o rows.csv, .jsonl or .parquet.")
        return "images"
    if args.save or args.csv:
        raise FerzooError("-o takes the rows alone: leave out --save and --csv; the suffix of -o says the format.")
    return "many"


def _with(suffixes: tuple[str, ...], paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(suffixes) and not os.path.isdir(path)]


def _given(args: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Options of these names on the command line, as they are written there."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) not in (None, False)]
