"""The same job on Ray Data: a fixed number of workers a node, each with a device and a predictor of its own."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import FerzooError, MissingExtraError, first_line
from .scoring_pipeline import default_workers, predict_items
from .scoring_sources import Place, Source

if TYPE_CHECKING:
    from .predictor import Prediction
    from .scoring_job import Settings

__all__ = ["Cluster", "Team", "connect"]

#: Images of a piece of work: small enough that the workers end together, large beside a batch.
PIECE = 1024
#: Most pieces, each of which costs Ray some bookkeeping.
PIECES = 4096
#: Bytes of results that Ray keeps apart: it holds back workers for whose results there may be no room.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        address: Where it is, as ``ray.init`` takes it; None for the cluster that this process has joined, or else a
            local one.
        workers: Workers a node; None for one a GPU, or one where there are none.
    """

    address: str | None = None
    workers: int | None = None


class _Worker:
    """Runs in a process of the cluster: reads a piece of the source and predicts it."""

    def __init__(self, settings: Settings, source: Source, folder: str, cores: int) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise FerzooError(f"The folder {folder} of the job is not on this node: {error.strerror}.") from error
        self._predictor, self._source = settings.predictor(), source
        # The other workers of the node have the other cores.
        self._threads = settings.workers or min(cores, default_workers())

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        for part, start, stop in map(pickle.loads, batch["item"]):
            try:
                for group in predict_items(self._predictor, self._source.part(part, start, stop), self._threads):
                    for prediction in group:
                        prediction.source.data = None
                    yield {"group": [pickle.dumps(group)]}
            except FerzooError as error:  # Ray would try again, and bury the message
                yield {"group": [pickle.dumps(FerzooError(str(error)))]}


@dataclass(frozen=True)
class Team:
    """The workers of a cluster that was reached.

    Attributes:
        settings: How each predicts, its device and threads included.
        workers: How many there are.
        resources: What each takes of its node.
    """

    settings: Settings
    workers: int
    resources: dict[str, float]

    def predict(self, source: Source, place: Place) -> Generator[list[Prediction], None, None]:
        """Predict what lies from a place on, in order.

        Args:
            source: Its files must have the same paths on every node.
            place: The first image.

        Yields:
            Groups as `predict_items` gives them.

        Raises:
            FerzooError: If a worker fails.
        """
        import ray.data

        size = _size(source, self.workers, self.settings.batch_size)
        pieces = [pickle.dumps(piece) for piece in source.slices(place, size)]
        if not pieces:
            return
        cores = max(1, int(self.resources["num_cpus"]))
        with _as_ferzoo_errors(), _data_context(ray.data.DataContext.get_current()):
            rows = ray.data.from_items(pieces, override_num_blocks=len(pieces)).map_batches(
                _Worker,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=self.workers),
                fn_constructor_args=(self.settings, source, os.getcwd(), cores),
                **self.resources,
            )
            for row in rows.iter_rows():
                group = pickle.loads(row["group"])
                if isinstance(group, FerzooError):
                    raise group
                yield group


@contextlib.contextmanager
def connect(settings: Settings, cluster: Cluster) -> Iterator[Team]:
    """Reach a cluster; at the end it is left, if this process was not in it before.

    Args:
        settings: How. On nodes with GPUs each worker has one, and takes it unless `device` says otherwise.
        cluster: Where.

    Raises:
        MissingExtraError: Without Ray.
        FerzooError: If the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("Ray Data", "ray") from None
    joined = not ray.is_initialized()
    try:
        with _as_ferzoo_errors():
            if joined:
                # Without an address Ray would join whatever cluster the environment names or this machine ran last.
                ray.init(cluster.address or "local", log_to_driver=False, logging_level="ERROR")
            workers, resources = _layout(ray.nodes(), cluster.workers)
        if settings.device is None and resources["num_gpus"]:
            settings = replace(settings, device="cuda")
        if settings.threads is None and not resources["num_gpus"]:
            settings = replace(settings, threads=max(1, int(resources["num_cpus"])))
        yield Team(settings, workers, resources)
    finally:
        if joined and ray.is_initialized():
            ray.shutdown()


@contextlib.contextmanager
def _as_ferzoo_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except (ray.exceptions.RayError, ConnectionError, ValueError) as error:
        # Among the lines of a worker's traceback, and of advice.
        reasons = re.findall(r"^\S*(?:Error|Exception): .+$", str(error), re.MULTILINE) or [first_line(error)]
        raise FerzooError(f"Ray cannot do the job: {reasons[-1]}") from error


def _layout(nodes: list[dict[str, Any]], a_node: int | None) -> tuple[int, dict[str, float]]:
    """Number of workers, and what each takes of a node's resources."""
    alive = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    if not alive:
        raise FerzooError("The Ray cluster has no node with processors that is alive.")
    gpus = int(min(node.get("GPU", 0) for node in alive))
    a_node = a_node or max(1, gpus)
    if gpus and a_node > gpus:
        raise FerzooError(f"Each node has {gpus} GPUs: there is one worker a device, {a_node} are too many.")
    cores = min(node["CPU"] for node in alive) / a_node
    return a_node * len(alive), {"num_cpus": int(cores) if cores >= 1 else cores, "num_gpus": 1.0 if gpus else 0.0}


def _size(source: Source, workers: int, batch_size: int) -> int:
    """Images of a piece: whole batches, and a few pieces for each worker where the source is small."""
    total = source.total or PIECE * PIECES
    size = min(max(PIECE, total // PIECES), total // (4 * workers))
    return math.ceil(max(size, 1) / batch_size) * batch_size


@contextlib.contextmanager
def _data_context(context: Any) -> Iterator[None]:
    """Results in the order of the source and no bars, for the data sets that are made within."""
    options = context.execution_options
    before = context.enable_progress_bars, context.target_max_block_size, options.preserve_order
    context.enable_progress_bars, context.target_max_block_size, options.preserve_order = False, BLOCK, True
    try:
        yield
    finally:
        context.enable_progress_bars, context.target_max_block_size, options.preserve_order = before
