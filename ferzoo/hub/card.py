"""The README.md of a Hub repository: typed card data, measured figures, and what the weights are not for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from .facts import Facts, title_of

__all__ = ["CONFUSION", "LICENSE", "card_data", "card_text", "measured"]

CONFUSION, LICENSE = "confusion.png", "LICENSE.md"
_TEMPLATE = Path(__file__).with_name("card.md")
#: Key of an evaluation, and its name and its metric type on the Hub. All but the last are in percent.
_METRICS = {
    "accuracy": ("accuracy (%)", "accuracy"),
    "balanced_accuracy": ("balanced accuracy (%)", "balanced_accuracy"),
    "macro_f1": ("macro F1 (%)", "f1"),
    "calibration_error": ("expected calibration error (%)", "ece"),
    "nll": ("negative log-likelihood (nats)", "nll"),
}
_RESEARCH = re.compile("research", re.IGNORECASE)
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def measured(facts: Facts) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Split, rows and figures of every evaluation: all rows, and those never trained on where they are known."""
    for key, found in facts.metrics.items():
        if not isinstance(found, Mapping) or "accuracy" not in found:
            continue
        split = str(found.get("title") or (f"{key}, with test-time flip" if found.get("flip") else key))
        unseen = found.get("unseen")
        yield split, "all rows", found
        if isinstance(unseen, Mapping):
            yield split, "rows never trained on", unseen


def card_data(facts: Facts) -> ModelCardData:
    """The metadata block of a card.

    Args:
        facts: What is known of the weights.
    """
    license_, name, link = _license(facts.license)
    results = [
        EvalResult(
            task_type="image-classification",
            task_name="Facial expression recognition",
            dataset_type=str(found.get("dataset") or facts.dataset or "unknown"),
            dataset_name=f"{title_of(str(found.get('dataset') or facts.dataset or 'unknown'))}, {split}, {rows}",
            dataset_config=f"{rows}, flip" if found.get("flip") or "flip" in split else rows,  # tells results apart
            dataset_split=split.partition(",")[0],
            dataset_args={"count": found["rows"]},
            metric_type=kind,
            metric_name=title,
            metric_value=found[key],
        )
        for split, rows, found in measured(facts)
        for key, (title, kind) in _METRICS.items()
        if key in found
    ]
    return ModelCardData(
        license=license_,
        license_name=name,
        license_link=link,
        library_name="ferzoo",
        pipeline_tag="image-classification",
        tags=["ferzoo", "timm", "facial-expression-recognition", facts.architecture],
        datasets=[facts.dataset] if facts.dataset else None,
        metrics=["accuracy", "f1"] if results else None,
        model_name=facts.name,
        eval_results=results or None,
    )


def _license(stated: str) -> tuple[str, str | None, str | None]:
    """The Hub's `license`, `license_name` and `license_link`."""
    if not stated:
        return "unknown", None, None
    if _SPDX.fullmatch(stated):
        return stated.lower(), None, None
    name = "research-use" if _RESEARCH.search(stated) else re.sub(r"[^a-z0-9]+", "-", stated.lower()).strip("-")[:60]
    return "other", name or "other", LICENSE


def card_text(facts: Facts, cfg: Mapping[str, Any], repo_id: str, files: Mapping[str, str]) -> str:
    """A whole README.md.

    Args:
        facts: What is known of the weights.
        cfg: timm's pretrained cfg of the network, with label names.
        repo_id: Repository that it is for.
        files: Names of the files beside it, and their sha256.
    """
    names = [str(name) for name in cfg.get("label_names") or ()]
    channels, height, width = cfg["input_size"]
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=facts.name,
        architecture=facts.architecture,
        summary=_summary(facts, names),
        repo=repo_id,
        package=facts.package.get("name", "ferzoo"),
        install="" if facts.package.get("name") in ("ferzoo", "timm") else f" {facts.package.get('name')}",
        evaluation=_evaluation(facts, names, CONFUSION in files),
        input=f"{height}x{width} px, {'grey' if channels == 1 else f'{channels} channels'}"
        + (", colours taken away first" if facts.grayscale and channels != 1 else ""),
        mean=", ".join(f"{v:g}" for v in cfg["mean"]),
        std=", ".join(f"{v:g}" for v in cfg["std"]),
        interpolation=cfg.get("interpolation", "bicubic"),
        training=_training(facts),
        license=_license_text(facts.license),
        files=_rows(("file", "sha256"), [(f"`{name}`", f"`{sha256}`") for name, sha256 in files.items()]),
        version=facts.to_dict()["version"],
    )
    return f"---\n{card_data(facts).to_yaml()}\n---\n\n{text}"


def _summary(facts: Facts, names: list[str]) -> str:
    what = facts.description or f"Weights of `{facts.architecture}`"
    classes = f" It tells {len(names)} expressions apart: {', '.join(names)}." if names else ""
    return f"{what.rstrip('.')}.{classes}"


def _evaluation(facts: Facts, names: list[str], picture: bool) -> str:
    found = list(measured(facts))
    if not found:
        return "No evaluation was given. How good these weights are is not known."
    keys = [key for key in _METRICS if any(key in figures for _, _, figures in found)]
    lines = [
        (split, rows, f"{figures['rows']:,}", *(f"{figures[key]:g}" if key in figures else "" for key in keys))
        for split, rows, figures in found
    ]
    titles = (_METRICS[key][0] for key in keys)
    parts = [_rows(("split", "rows", "count", *titles), lines)]
    commands = dict.fromkeys(str(f["command"]) for _, _, f in found if f.get("command"))
    if commands:
        parts.append("Measured by\n\n```console\n" + "\n".join(commands) + "\n```")
    recall = found[0][2].get("recall")
    if recall and len(recall) == len(names):
        cells = ["" if value is None else f"{value:g}" for value in recall]
        parts.append(f"Recall of each class in percent, {found[0][0]}:\n\n{_rows(names, [cells])}")
    if picture:
        parts.append(f"![Confusion matrix: true class down, predicted class across]({CONFUSION})")
    return "\n\n".join(parts)


def _training(facts: Facts) -> str:
    import yaml

    training = facts.training
    if not training and not facts.dataset:
        return "Nothing is known of how these weights were trained."
    parts = [f"Data: {title_of(facts.dataset)}." if facts.dataset else "The data are not known."]
    if training.get("epoch"):
        parts[0] += f" The weights are those of epoch {training['epoch']}."
    if training.get("note"):
        parts.append(str(training["note"]))
    if recipe := training.get("recipe"):
        dumped = yaml.safe_dump(dict(recipe), sort_keys=False, default_flow_style=None, width=100).strip()
        parts.append(f"The recipe, for `ferzoo train`:\n\n```yaml\n{dumped}\n```")
    if environment := training.get("environment"):
        packages = environment.get("packages") or {}
        words = [f"Python {environment.get('python')}", *(f"{key} {value}" for key, value in packages.items())]
        if environment.get("git"):
            words.append(f"revision {environment['git']}")
        parts.append(f"Trained with {', '.join(words)}.")
    return "\n\n".join(parts)


def _license_text(stated: str) -> str:
    if not stated:
        return "Nobody stated a licence for these weights. Ask before you use them."
    if _SPDX.fullmatch(stated):
        return f"`{stated}`."
    return f"{stated[0].upper()}{stated[1:].rstrip('.')}.".replace(
        f"ferzoo/weights/{LICENSE}", f"[{LICENSE}]({LICENSE})"
    )


def _rows(head: Any, lines: list[Any]) -> str:
    cells = [list(head), ["---"] * len(list(head)), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in cells)
