"""The README.md of a Hub repository: typed card data, measured figures, and what the weights are not for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ..registry.config import with_defaults
from .checks import METRICS, PARTS
from .facts import Facts, title_of

__all__ = ["CONFUSION", "LICENSE", "WRITTEN_BY", "card_data", "card_text", "measured"]

CONFUSION, LICENSE = "confusion.png", "LICENSE.md"
#: What every card ends with, before the version.
WRITTEN_BY = "Written by ferzoo"
_TEMPLATE = Path(__file__).with_name("card.md")
#: What the Hub takes for `license`: the identifiers that its documentation of model cards lists.
_LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense
    zlib pddl unknown other
    """.split()
)
_NAMES = """
print(model.pretrained_cfg["label_names"])"""
_FOLDER = """
FOLDER is the folder of this file.
"""
_CHECKED = """ `config.json` states their sha256 under `ferzoo`, and ferzoo compares it
at every load; the `@REVISION` of a name pins the commit."""
_PHOTOGRAPHS = """
On photographs, with `pip install "ferzoo[faces]"`:

```python
import ferzoo

predictor = ferzoo.Predictor("$source")
for face in predictor("photo.jpg"):
    print(face.box, face.label, face.scores)
```
"""


def measured(facts: Facts) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Split, rows and figures of every evaluation: all rows, and those of `PARTS` where they are known."""
    for key, found in facts.metrics.items():
        split = str(found.get("title") or (f"{key}, with test-time flip" if found.get("flip") else key))
        yield split, "all rows", found
        for part, words in PARTS.items():
            figures = found.get(part)
            if isinstance(figures, Mapping) and figures["rows"]:
                yield split, words, figures


def card_data(facts: Facts, terms: bool = False) -> ModelCardData:
    """The metadata block of a card.

    Args:
        facts: What is known of the weights.
        terms: Whether the terms of ferzoo's own weights lie beside the card.
    """
    license_, name = _license(facts.license, terms)
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
        for key, (title, kind) in METRICS.items()
        if found.get(key) is not None
    ]
    return ModelCardData(
        license=license_,
        license_name=name,
        license_link=LICENSE if terms else None,
        library_name="ferzoo",
        pipeline_tag="image-classification",
        tags=["ferzoo", "timm", "facial-expression-recognition", facts.architecture],
        datasets=[facts.dataset] if re.fullmatch(r"([\w.-]+/)?[\w.-]+", facts.dataset, re.ASCII) else None,
        metrics=["accuracy", "f1"] if results else None,
        model_name=facts.name,
        eval_results=results or None,
    )


def _license(stated: str, terms: bool) -> tuple[str, str | None]:
    """The Hub's `license` and `license_name`."""
    if not stated:
        return "unknown", None
    if stated.lower() in _LICENSES:
        return stated.lower(), None
    name = "research-use" if terms else re.sub(r"[^a-z0-9.-]+", "-", stated.lower())[:60].strip("-.")
    return "other", name or "other"


def card_text(
    facts: Facts,
    cfg: Mapping[str, Any],
    repo_id: str,
    files: Mapping[str, str],
    *,
    revision: str = "",
    rounded: str = "",
) -> str:
    """A whole README.md.

    Args:
        facts: What is known of the weights.
        cfg: timm's pretrained cfg of the network, with label names.
        repo_id: Repository that it is for; empty for the folder that the card lies in.
        files: Names of the files beside it, and their sha256.
        revision: Branch that it is for, where that is not the main one.
        rounded: Type that the weights were rounded to, where their values changed.
    """
    names = [str(name) for name in cfg.get("label_names") or ()]
    channels, height, width = cfg["input_size"]
    source = f"hf-hub:{repo_id}@{revision}" if revision else f"hf-hub:{repo_id}" if repo_id else "local-dir:FOLDER"
    usable = cfg["num_classes"] != 0 and channels in (1, 3)  # by the Predictor
    terms = LICENSE in files
    text = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=facts.name,
        architecture=facts.architecture,
        summary=_summary(facts, names, cfg["num_classes"]),
        source=source,
        where="" if repo_id else _FOLDER,
        checked=_CHECKED if repo_id else "",
        written_by=WRITTEN_BY,
        names=_NAMES if names else "",
        photographs=Template(_PHOTOGRAPHS).substitute(source=source) if usable else "",
        package=facts.package.get("name", "ferzoo"),
        install="" if facts.package.get("name") in ("ferzoo", "timm") else f" {facts.package.get('name')}",
        evaluation=_evaluation(facts, names, CONFUSION in files, rounded),
        input=f"{height}x{width} px, {'grey' if channels == 1 else f'{channels} channels'}"
        + (", colours taken away first" if facts.grayscale and channels != 1 else ""),
        mean=", ".join(f"{v:g}" for v in cfg["mean"]),
        std=", ".join(f"{v:g}" for v in cfg["std"]),
        interpolation=with_defaults(cfg)["interpolation"],
        training=_training(facts),
        license=_license_text(facts.license, terms),
        files=_rows(("file", "sha256"), [(f"`{name}`", f"`{sha256}`") for name, sha256 in files.items()]),
        version=facts.to_dict()["version"],
    )
    return f"---\n{card_data(facts, terms).to_yaml()}\n---\n\n{text}"


def _summary(facts: Facts, names: list[str], count: int) -> str:
    what = facts.description or f"Weights of `{facts.architecture}`"
    if names:
        classes = f"It tells {len(names)} expressions apart: {', '.join(names)}."
    else:
        classes = f"It tells {count} classes apart. The names of the classes are not known."
    return f"{what.rstrip('.')}. {classes if count else 'It has no classifier.'}"


def _evaluation(facts: Facts, names: list[str], picture: bool, rounded: str) -> str:
    found = list(measured(facts))
    if not found:
        return "No evaluation was given. How good these weights are is not known."
    keys = [key for key in METRICS if any(figures.get(key) is not None for _, _, figures in found)]
    lines = [
        (split, rows, f"{figures['rows']:,}", *("" if (v := figures.get(key)) is None else f"{v:g}" for key in keys))
        for split, rows, figures in found
    ]
    titles = (METRICS[key][0] for key in keys)
    parts = [_rows(("split", "rows", "count", *titles), lines)]
    if rounded:
        parts.append(f"The weights here are rounded to {rounded}; the figures were measured before that.")
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


def _license_text(stated: str, terms: bool) -> str:
    if not stated:
        return "Nobody stated a licence for these weights. Ask before you use them."
    if stated.lower() in _LICENSES:
        return f"`{stated}`."
    text = f"{stated[0].upper()}{stated[1:].rstrip('.')}."
    return text.replace(f"ferzoo/weights/{LICENSE}", f"[{LICENSE}]({LICENSE})") if terms else text


def _rows(head: Any, lines: list[Any]) -> str:
    cells = [list(head), ["---"] * len(list(head)), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in cells)
