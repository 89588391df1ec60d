"""Several networks side by side: parameters, FLOPs, latency and accuracy."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.canvas import Canvas
from ..deploy.printed import measured_as_printed, printed
from ..deploy.profile import profile
from ..errors import DataError, WeightsNotFoundError
from ..labels import label_names
from ..registry.factory import create_model, list_models
from ..registry.load import is_folder, load_model
from ..weights.configs import Checkpoint, checkpoints
from ..weights.resolve import default_tag
from .chart import Mark, accuracy_latency_chart
from .convergence import read_trained
from .evaluate import evaluate
from .measured import Progress, read_measured

__all__ = ["compare", "comparison_chart"]


def compare(
    models: Sequence[str],
    data: str | os.PathLike[str] | None = None,
    *,
    dataset: str | None = None,
    split: str = "validation",
    flip: bool = False,
    device: str = "auto",
    strict: bool = True,
    skip_damaged: bool = False,
    compare_with_train: bool = True,
    class_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    converged: bool = False,
    runs: int = 30,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Figures of several networks, in the order given.

    Args:
        models: What `load_model` takes, and names of networks without weights.
        data: Folder of a data set to measure the accuracy on; where None it is that of hub_configs, or of a
            checkpoint folder's metrics.json.
        dataset: Name of the data set; where None, that of the weights, as in `read_measured`.
        split: Its split to measure on.
        flip: Test-time flip, of the accuracy alone.
        device: Where the accuracy is measured, as `on_device` takes it; the latency is the CPU's.
        strict: As in `read_measured`.
        skip_damaged: As in `read_measured`.
        compare_with_train: As in `read_measured`.
        class_names: As in `read_measured`.
        columns: As in `read_measured`.
        converged: Leave the accuracy of a run's folder out where the run did not end, its validation loss still fell by
            over `MAX_FALL` in the last tenth of its epochs, its accuracy is below `MIN_ACCURACY`, or nothing says so.
        runs: Timed runs of one image; the median counts.
        progress: Told what is being done.

    Returns:
        A row a network: `model`; `input`, channels, height and width; `parameters`; `flops` as fvcore counts them;
        `paper_parameters` and `paper_flops`, what its paper prints of it, and `parameters_as_printed` and
        `flops_as_printed`, the same measured in the paper's setting, None where nothing is printed; `faces_seen` in
        training and `loss_fall`, by how many percent the best validation loss fell in the last two epochs, None where
        its folder does not say; `latency_ms` of one image, in float32 and eager mode, with `threads` CPU threads;
        `accuracy` and `accuracy_unseen` in percent on `rows` rows, None where there is none; `data`, what it was
        measured on; `measured`, where the figure is from: `here`, `hub_configs`, `metrics.json` or nothing; `flip`;
        `note`, why there is no accuracy, or that the run had not converged.

    Raises:
        DataError: If the data cannot be read, or the weights are of different data sets and `dataset` is None.
        UnknownNameError: If there is no such network, data set or split; names the nearest.
        CheckpointError: If weights are damaged or do not fit.
        FerzooError: If the device cannot be used.
    """
    say = progress or (lambda what, done, total: None)
    networks = [(name, *_load(name)) for name in models]
    measured = None
    if data is not None:
        measured = read_measured(
            data,
            dataset,
            split,
            networks=[network for _, network, trained, _ in networks if trained],
            strict=strict,
            skip_damaged=skip_damaged,
            compare_with_train=compare_with_train,
            class_names=class_names,
            columns=columns,
            progress=progress,
        )
    rows = []
    for done, (name, network, trained, known) in enumerate(networks):
        say(f"timing {name}", done, len(networks))
        figures = profile(network, runs=runs)
        row: dict[str, Any] = {
            "model": name,
            "input": list(figures.input_size),
            "parameters": figures.parameters,
            "flops": figures.flops,
            **_printed(network),
            "latency_ms": figures.latency_ms,
            "threads": figures.threads,
        }
        found: Mapping[str, Any] = {}
        note = "" if trained or known else "no weights"
        if measured is None:
            found = known
        elif trained:
            try:
                found = evaluate(network, measured, flip=flip, device=device, progress=progress)
                found = {**found, "data": f"{measured.dataset} {measured.split}", "measured": "here"}
                note = _skipped(found)
            except DataError as error:
                note = str(error)
        else:
            note = "no weights here"
        history = read_trained(Path(name)) if is_folder(name) else None
        if history and history.unfinished and (converged or history.is_run):
            note = "; ".join(filter(None, (note, history.unfinished)))
            found = {} if converged else found
        row["faces_seen"] = history.faces_seen if history else None
        row["loss_fall"] = history.loss_fall if history else None
        rows.append({**row, **_accuracy(found, flip), "note": note})
    return rows


def _printed(network: Any) -> dict[str, Any]:
    """What its paper prints of a network's size, and the same measured as there."""
    paper = printed(network)
    figures = measured_as_printed(network, paper) if paper and (paper.parameters or paper.flops) else None
    return {
        "paper_parameters": paper and paper.parameters,
        "parameters_as_printed": figures and figures.parameters,
        "paper_flops": paper and paper.flops,
        "flops_as_printed": figures and figures.flops,
    }


def _load(name: str) -> tuple[Any, bool, Mapping[str, Any]]:
    """The network, whether it is trained, and the results that are known of it."""
    architecture, _, tag = name.partition(".")
    known = None
    if architecture in list_models():
        tag = tag or default_tag(architecture) or ""
        if not tag:
            return create_model(name), False, {}
        known = checkpoints().get(f"{architecture}.{tag}")
    elif ":" not in name and "/" not in name and not Path(name).exists():
        return create_model(name), False, {}
    try:
        network: Any = load_model(name)
    except WeightsNotFoundError:
        if known is None:
            raise
        return _like(known), False, _published(known.metrics, known.labels, "hub_configs")
    if known:
        return network, True, _published(known.metrics, known.labels, "hub_configs")
    labels = str((getattr(network, "ferzoo_cfg", None) or {}).get("labels", ""))
    return network, True, _of_folder(Path(name), labels)


def _like(known: Checkpoint) -> Any:
    """A network as that of a checkpoint whose weights are not here."""
    size = tuple(known.cfg["input_size"])
    kwargs: dict[str, Any] = {"num_classes": len(label_names(known.labels))}
    kwargs["pretrained_cfg_overlay"] = {"input_size": size}
    try:
        return create_model(known.architecture, img_size=size[1:], **kwargs)
    except TypeError:  # takes any size
        return create_model(known.architecture, **kwargs)


def _published(metrics: Mapping[str, Any], dataset: str, source: str) -> dict[str, Any]:
    """Results by whether they are with test-time flip."""
    found: dict[str, Any] = {}
    for split, result in metrics.items():
        if isinstance(result, Mapping) and "accuracy" in result:
            key = "flipped" if result.get("flip") else "plain"
            on = f"{dataset} {split.removesuffix('_flip')}".strip()
            found.setdefault(key, {**result, "data": on, "measured": source})
    return found


def _of_folder(folder: Path, dataset: str) -> dict[str, Any]:
    try:
        result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(result, dict):
        return {}
    return _published({str(result.get("split", "")): result}, dataset, "metrics.json")


def _accuracy(found: Mapping[str, Any], flip: bool) -> dict[str, Any]:
    """The fields of a row that are about accuracy."""
    if "accuracy" not in found:
        found = found.get("flipped" if flip else "plain", {})
    unseen = found.get("unseen") or {}
    return {
        "accuracy": found.get("accuracy"),
        "accuracy_unseen": unseen.get("accuracy"),
        "rows": found.get("rows"),
        "data": found.get("data"),
        "measured": found.get("measured"),
        "flip": found.get("flip"),
    }


def _skipped(found: Mapping[str, Any]) -> str:
    parts = []
    if found["rows_skipped"]:
        classes = ", ".join(found["classes_left_out"])
        parts.append(f"{found['rows_skipped']} rows of classes that it lacks are left out ({classes})")
    if outputs := found.get("outputs_left_out"):
        parts.append(f"its outputs for {', '.join(outputs)} are left out")
    return "; ".join(parts)


def comparison_chart(rows: Sequence[Mapping[str, Any]]) -> Canvas:
    """Draw accuracy against latency, of the rows of `compare` that have an accuracy.

    Raises:
        DataError: If none has.
    """
    shown = [row for row in rows if row["accuracy"] is not None and row["latency_ms"] is not None]
    names = [Path(row["model"]).name if os.path.isdir(row["model"]) else row["model"] for row in shown]
    doubled = {name for name in names if names.count(name) > 1}
    marks = [
        Mark(row["model"] if name in doubled else name, row["latency_ms"], row["accuracy"])
        for name, row in zip(names, shown, strict=True)
    ]
    threads = shown[0]["threads"] if shown else torch.get_num_threads()
    where = sorted({f"{row['data']}{', test-time flip' if row['flip'] else ''}" for row in shown})
    setting = f"batch of one, float32, eager, {threads} CPU thread{'s' if threads > 1 else ''}"
    subtitle = f"accuracy on {' and '.join(where)}, all rows"
    return accuracy_latency_chart(marks, subtitle=subtitle, setting=setting)
