"""Latencies of the networks in the gallery, from the files that `ferzoo bench --json` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ferzoo.weights.configs import checkpoints
from ferzoo.weights.resolve import default_tag

from .common import ROOT
from .gallery_facts import Facts

RESULTS = ROOT / "docs" / "results"
#: Which runtime the table and the plot take where several measured as many networks.
PREFERRED = ("onnx", "openvino", "compiled", "fused", "eager")


@dataclass(frozen=True)
class Setting:
    """What latencies have to share to be compared.

    Attributes:
        file: The file that holds them.
        runtime: Name of the runtime.
        batch: Images a batch.
        threads: CPU threads.
        machine: Processor, or the GPU where the runtime is one of a GPU.
    """

    file: str
    runtime: str
    batch: int
    threads: int
    machine: str

    @property
    def conditions(self) -> str:
        """Batch, threads and machine, for people."""
        return f"batch of {self.batch}, {self.threads} CPU thread{'s' * (self.threads > 1)}, {self.machine}"

    def __str__(self) -> str:
        """The same with the runtime."""
        return f"{self.runtime}, {self.conditions}"


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one image of a network.

    Attributes:
        model: Name of the network, without tag where it is that of its default weights.
        input_size: Channels, height and width.
        milliseconds: Of a batch, divided by its images.
        setting: How it was measured.
        trained: Whether the weights were trained.
    """

    model: str
    input_size: tuple[int, ...]
    milliseconds: float
    setting: Setting
    trained: bool


def latencies() -> list[Latency]:
    """Every latency of a registered name on record; rows of files and of networks of timm's are left out."""
    known = {c.name: c.architecture if c.tag == default_tag(c.architecture) else c.name for c in checkpoints().values()}
    found = []
    for path in sorted(RESULTS.glob("bench*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        facts = result["machine"]
        for row in result["rows"]:
            if row["p50_ms"]:
                place = (
                    facts.get("gpu", facts["processor"]) if row["runtime"].startswith("cuda") else facts["processor"]
                )
                setting = Setting(path.name, row["runtime"], result["batch"], result["threads"], place)
                name, time = known.get(row["model"], row["model"]), row["p50_ms"] / result["batch"]
                found.append(Latency(name, tuple(row["input"]), time, setting, bool(row["trained"])))
    return found


def of(facts: Facts, found: Sequence[Latency]) -> list[Latency]:
    """The latencies of a network at its own input size."""
    return [one for one in found if one.model == facts.name and one.input_size == facts.input_size]


def shared_setting(networks: Sequence[Facts], found: Sequence[Latency]) -> Setting | None:
    """The setting in float32 that most networks were measured in; None where nothing is on record.

    Args:
        networks: The networks to compare.
        found: What `latencies` returns.
    """
    counts = Counter(one.setting for facts in networks for one in of(facts, found) if one.setting.runtime in PREFERRED)
    return min(counts, key=lambda s: (-counts[s], s.batch, PREFERRED.index(s.runtime), s.file), default=None)


def in_setting(facts: Facts, found: Sequence[Latency], setting: Setting | None) -> float | None:
    """Milliseconds of a network in a setting; None where it was not measured there."""
    return next((one.milliseconds for one in of(facts, found) if one.setting == setting), None)
