"""The same job on Ray Data: a fixed number of workers a node, each with a device and a predictor of its own."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import pickle
import re
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, FerzooError, MissingExtraError, first_line
from .scoring_pipeline import Pipeline, default_workers
from .scoring_sources import Place, Source

if TYPE_CHECKING:
    from .predictor import Prediction
    from .scoring_job import Settings

__all__ = ["Cluster", "Team", "connect"]

#: Images of a piece of work, unless workers have many cores: few, so that they end together, and many beside a batch.
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
        workers: Workers a node; None for one a GPU, or one where there are none. Where nodes have GPUs, the others have
            no worker, unless the device is the CPU.
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
        self._source = source
        # The other workers of the node have the other cores.
        self._pipeline = Pipeline(settings, settings.workers or min(cores, default_workers()))

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        for part, start, stop in map(pickle.loads, batch["item"]):
            try:
                for group in self._pipeline(self._source.part(part, start, stop)):
                    for prediction in group:
                        prediction.source.data = None
                    yield {"group": [pickle.dumps(group)]}
            except FerzooError as error:  # Ray would try again, and bury the message
                kind = DataError if isinstance(error, DataError) else FerzooError
                yield {"group": [pickle.dumps(kind(str(error)))]}


@dataclass(frozen=True)
class Team:
    """The workers of a cluster that was reached.

    Attributes:
        settings: How each predicts, its device and threads included.
        workers: How many there are.
        resources: What each takes of its node.
        places: The id of the node of each; empty where no node has room for more of them than it should have.
    """

    settings: Settings
    workers: int
    resources: dict[str, float]
    places: tuple[str, ...] = ()

    def predict(self, source: Source, place: Place) -> Generator[list[Prediction], None, None]:
        """Predict what lies from a place on, in order.

        Args:
            source: Its files must have the same paths on every node.
            place: The first image.

        Yields:
            Groups as a `Pipeline` gives them.

        Raises:
            FerzooError: If a worker fails.
        """
        import ray.data

        cores = max(1, int(self.resources["num_cpus"]))
        size = _size(source, self.workers, self.settings.batch_size, cores)
        pieces = [pickle.dumps(piece) for piece in source.slices(place, size)]
        if not pieces:
            return
        with _as_ferzoo_errors(), _data_context(ray.data.DataContext.get_current()):
            items = ray.data.from_items(pieces, override_num_blocks=len(pieces))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*ray_remote_args_fn.*")  # see `_placing`
                rows = items.map_batches(
                    _Worker,
                    batch_size=1,
                    compute=ray.data.ActorPoolStrategy(size=self.workers),
                    fn_constructor_args=(self.settings, source, os.getcwd(), cores),
                    **self.resources,
                    **_placing(items, self.places),
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
        settings: How. Where nodes have GPUs each worker has one, and takes it, unless the device is the CPU.
        cluster: Where.

    Raises:
        MissingExtraError: Without Ray.
        FerzooError: If the cluster cannot be reached, or lacks the devices.
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
            places, resources, loose = _layout(ray.nodes(), cluster.workers, settings.device)
        if settings.device is None and resources["num_gpus"]:
            settings = replace(settings, device="cuda")
        if settings.threads is None and not resources["num_gpus"]:
            settings = replace(settings, threads=max(1, int(resources["num_cpus"])))
        yield Team(settings, len(places), resources, tuple(places) if loose else ())
    finally:
        if joined and ray.is_initialized():
            ray.shutdown()


@contextlib.contextmanager
def _as_ferzoo_errors() -> Iterator[None]:
    import ray

    try:
        yield
    except FerzooError:  # of these some are ValueErrors
        raise
    except (ray.exceptions.RayError, ConnectionError, ValueError) as error:
        # Among the lines of a worker's traceback, and of advice.
        reasons = re.findall(r"^\S*(?:Error|Exception): .+$", str(error), re.MULTILINE) or [first_line(error)]
        raise FerzooError(f"Ray cannot do the job: {reasons[-1]}") from error


def _layout(
    nodes: list[dict[str, Any]], a_node: int | None, device: str | None = None
) -> tuple[list[str], dict[str, float], bool]:
    """Where the workers go: to the nodes with GPUs, one a GPU, or else to all.

    Args:
        nodes: As `ray.nodes` gives them.
        a_node: Workers a node; None for one a device.
        device: As in `Settings`; with "cpu" no worker takes a GPU.

    Returns:
        The node's id of each worker, what each takes of its node, and whether a node has room for more than its own.

    Raises:
        FerzooError: If no node is alive, or there are fewer GPUs than asked for.
    """
    alive = [(node["NodeID"], node["Resources"]) for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    if not alive:
        raise FerzooError("The Ray cluster has no node with processors that is alive.")
    gpus = {name: int(has.get("GPU", 0)) for name, has in alive if device != "cpu" and has.get("GPU", 0) >= 1}
    if not gpus and device and device.startswith("cuda"):
        raise FerzooError(
            f"The Ray cluster has no node with a GPU for the device {device!r}: leave the device out, or start Ray on "
            "the nodes that have GPUs with --num-gpus."
        )
    if gpus and a_node and a_node > min(gpus.values()):
        fewest = min(gpus.values())
        raise FerzooError(
            f"A node has {fewest} GPUs, and each takes one worker: ask for {fewest} a node, not {a_node}."
        )
    used = {name: has for name, has in alive if name in gpus or not gpus}
    counts = {name: a_node or gpus.get(name, 1) for name in used}
    cores = min(used[name]["CPU"] / count for name, count in counts.items())
    cores = int(cores) if cores >= 1 else cores
    room = {name: min(has["CPU"] / cores, gpus.get(name, math.inf)) for name, has in used.items()}
    loose = len(used) > 1 and any(room[name] >= count + 1 for name, count in counts.items())
    places = [name for name, count in counts.items() for _ in range(count)]
    return places, {"num_cpus": cores, "num_gpus": 1.0 if gpus else 0.0}, loose


def _placing(items: Any, places: tuple[str, ...]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Arguments of `map_batches` that bring the workers to their nodes.

    Ray Data knows no number of workers a node. It asks `ray_remote_args_fn` for the options of each, which Ray 2.64 is
    to remove; without that it spreads them, which is as even on nodes that nothing else uses.
    """
    if not places or "ray_remote_args_fn" not in inspect.signature(items.map_batches).parameters:
        return {}
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    left = deque(places)

    def options() -> dict[str, Any]:
        left.rotate(-1)
        # Soft: where the node has died, another may take its workers.
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(left[-1], soft=True)}

    return {"ray_remote_args_fn": options}


def _size(source: Source, workers: int, batch_size: int, cores: int) -> int:
    """Images of a piece: a few batches for each core, and a few pieces for each worker where the source is small."""
    total = source.total or PIECE * PIECES
    size = min(max(PIECE, 4 * cores * batch_size, total // PIECES), total // (4 * workers))
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
