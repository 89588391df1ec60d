"""`score`: any number of images to a file of rows, in bounded memory, and on after a crash."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, FerzooError
from .faces import Detector
from .images import printable
from .predictor import Prediction
from .scoring_job import Settings, State, facts_of
from .scoring_journal import Output, check_place
from .scoring_pipeline import Pipeline
from .scoring_rows import FORMATS, RowFormat, check_parquet, rows_of, write_parquet
from .scoring_sources import no_image, open_source

if TYPE_CHECKING:
    from torch import nn

    from .scoring_ray import Cluster, Team

__all__ = ["Summary", "score"]

#: Seconds between two commits: what a crash costs at most, beside the groups of images that are worked on.
COMMIT = 5.0


@dataclass(frozen=True)
class Summary:
    """What a job did, over all its runs.

    Attributes:
        images: Images of the source.
        faces: Faces found in them.
        faceless: Images without a face that could be read.
        errors: Images that could not be read.
        rows: Rows in the file.
        seconds: Time that the runs took.
        rate: Images a second of this run.
        resumed: Images that earlier runs had done.
    """

    images: int
    faces: int
    faceless: int
    errors: int
    rows: int
    seconds: float
    rate: float
    resumed: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def score(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | nn.Module = "lfnsb",
    *,
    detect: bool = True,
    detector: Detector | None = None,
    margin: float | None = None,
    min_face: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    threads: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    keep: Sequence[str] = (),
    column: str | None = None,
    resume: bool = False,
    stop_on_error: bool = False,
    cluster: Cluster | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Summary:
    """Predict every image of a source and write the rows to a file as they come.

    The rows stand in the source's order: one a face, and one with face 0 for an image without a face or one that
    cannot be read. ``OUT.progress`` says how far the job is; after any end of the process `resume` goes on there, and
    the rows are those of a job that was never stopped, to the byte in csv and JSON lines.

    Args:
        source: Image files, folders, patterns, lists (``.txt``), tables (``.parquet``) or WebDatasets (``.tar``).
        out: A file with the suffix ``.csv``, ``.jsonl`` or ``.parquet``.
        model: As `Predictor` takes it, like the arguments up to `batch_size`.
        detect: Find the faces; otherwise each image is, whole, the crop of one face.
        detector: As in `Predictor`; it is called from one thread at a time.
        margin: As in `Predictor`.
        min_face: As in `Predictor`.
        device: As in `Predictor`.
        dtype: As in `Predictor`.
        threads: CPU threads of the network; None leaves them.
        batch_size: Most faces, and most images, that go through the network in one call.
        workers: Threads that decode images and find faces; None for one a processor. With an exported file and
            ``detect=False`` each calls the network, too, where `threads` are as many.
        keep: Columns of a table, or suffixes of a WebDataset, that go into the rows.
        column: The image column of a table, where there is more than one candidate.
        resume: Go on with a job; begin it where there is none.
        stop_on_error: Raise at the first image that cannot be read.
        cluster: Do it on Ray Data; None for this process.
        progress: Called with what is done, images done, and images of the source, 0 where that is not known.

    Returns:
        The counts.

    Raises:
        FerzooError: If the output exists or cannot be written, belongs to another job, or the first error of an image
            is to stop the job.
        DataError: If the source cannot be read, or there is no image in it.
        ImageError: If a folder or pattern holds no image.
        ValueError: If an argument is out of its range.
    """
    settings = Settings(model, detect, detector, margin, min_face, device, dtype, threads, batch_size, workers)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}.")
    path = Path(out).expanduser()
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise FerzooError(f"{printable(path)}: rows are written to {', '.join(FORMATS)}.")
    if suffix == ".parquet":
        check_parquet()
    lines = path.with_name(path.name + ".rows") if suffix == ".parquet" else path
    check_place(path, lines)
    # The rows may stand in the folder of the images.
    own = {os.path.abspath(file) for file in (path, lines, path.with_name(path.name + ".progress"))}
    images = open_source(source, keep, column, own)
    # On a cluster the devices are the workers'; here the network only says what it is.
    pipeline = Pipeline(replace(settings, device="cpu") if cluster else settings)
    predictor = pipeline.predictor
    shape = RowFormat(suffix, predictor.labels, keep)
    schema = shape.schema(images.kinds) if lines != path else None
    with ExitStack() as stack:
        team = _team(settings, cluster, stack) if cluster else None
        form = ".csv" if suffix == ".csv" else ".jsonl"
        job = facts_of(team.settings if team else settings, predictor, images, keep, form)
        output = stack.enter_context(closing(Output(lines, job, shape.header, resume, path)))
        before = output.state
        start = time.monotonic()
        if not before.finished:
            place = before.part, before.index
            groups = team.predict(images, place) if team else pipeline(images.read(place))
            try:
                with closing(groups):
                    _write(output, groups, shape, _Progress(images.total or 0, before.images, progress), stop_on_error)
            except FerzooError:
                if not output.state.images:  # nothing that the next try could go on with
                    output.discard()
                raise
            if not output.state.images:  # an archive says so at its end
                output.discard()
                raise no_image(source)
            output.finish(lambda: write_parquet(lines, path, schema) if lines != path else None)
        state, took = output.state, max(time.monotonic() - start, 1e-9)
    counts = {name: getattr(state, name) for name in ("images", "faces", "faceless", "errors", "rows")}
    seconds = state.seconds if before.finished else before.seconds + took
    return Summary(
        **counts, seconds=round(seconds, 3), rate=(state.images - before.images) / took, resumed=before.images
    )


def _team(settings: Settings, cluster: Cluster, stack: ExitStack) -> Team:
    from .scoring_ray import connect

    return stack.enter_context(connect(settings, cluster))


def _write(
    output: Output, groups: Iterable[list[Prediction]], shape: RowFormat, progress: _Progress, stop_on_error: bool
) -> None:
    """Append the rows of every group, and commit now and then."""
    seconds, start = output.state.seconds, time.monotonic()
    committed = start
    try:
        for group in groups:
            now, state, begins = time.monotonic(), replace(output.state, broken=False), None
            failed = [prediction.error for prediction in group if prediction.error]
            if stop_on_error and failed:
                raise FerzooError(f"Stopped after {state.images:,} images: {failed[0]}") from failed[0]
            data = b""
            for part, predictions in groupby(group, lambda prediction: prediction.source.part):
                if part != state.part:
                    size = output.state.size + len(data)
                    begins = state = replace(state, part=part, index=0, size=size)
                lines, state = _after(state, list(predictions), shape)
                data += lines
            output.write(data, begins, **{**vars(state), "seconds": round(seconds + now - start, 3)})
            if now - committed >= COMMIT:
                output.commit()
                committed = now
            progress(output.state)
    except DataError as error:
        output.broken()
        with suppress(FerzooError):
            output.commit()
        if not output.state.images:
            raise
        raise DataError(f"{error} Then go on with --resume (in Python: resume=True).") from error
    except BaseException:
        with suppress(FerzooError):
            output.commit()
        raise
    output.commit()


def _after(state: State, predictions: Sequence[Prediction], shape: RowFormat) -> tuple[bytes, State]:
    """The rows of images of one part, and the state behind them but for its size."""
    rows = [row for prediction in predictions for row in rows_of(prediction, shape)]
    return shape.encode(rows), replace(
        state,
        index=predictions[-1].source.index + 1,
        images=state.images + len(predictions),
        faces=state.faces + sum(len(prediction.faces) for prediction in predictions),
        faceless=state.faceless + sum(not (p.faces or p.error) for p in predictions),
        errors=state.errors + sum(p.error is not None for p in predictions),
        rows=state.rows + len(rows),
    )


class _Progress:
    """Turns the state into a line with rate and time left."""

    def __init__(self, total: int, before: int, tell: Callable[[str, int, int], None] | None) -> None:
        self._total, self._before, self._tell = total, before, tell
        self._start = time.monotonic()

    def __call__(self, state: State) -> None:
        if self._tell is None:
            return
        rate = (state.images - self._before) / max(time.monotonic() - self._start, 1e-9)
        what = f"{rate:,.1f} images/s"
        if self._total and rate:
            left = math.ceil((self._total - state.images) / rate)
            what += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        self._tell(what if self._total else f"{state.images:,} images, {what}", state.images, self._total)
