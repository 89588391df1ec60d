"""The variants of LFNSB-fast that are timed: each undoes one choice and is else the same network."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.blocks.coord_att import CoordAtt
from ferzoo.blocks.fused_bottleneck import FusedBottleneck, RepBottleneck
from ferzoo.deploy import fast_ablation
from ferzoo.deploy.bench_summary import Bench, BenchRow
from ferzoo.deploy.fast_ablation import VARIANTS

KINDS = (CoordAtt, FusedBottleneck, RepBottleneck, nn.PReLU)


def counts(network: nn.Module) -> dict[str, int]:
    found = Counter(type(module) for module in network.modules())
    return {kind.__name__: found[kind] for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("as_it_is", {}),
        ("attention", {"CoordAtt": 3}),
        ("prelu", {"PReLU": 13}),
        ("depthwise", {"FusedBottleneck": 3, "RepBottleneck": 9}),
    ],
)
def test_each_undoes_one_choice(name: str, others: dict[str, int]) -> None:
    network = ferzoo.create_model("lfnsb_fast", num_classes=5).eval()
    changed = VARIANTS[name][1](copy.deepcopy(network)).eval()
    assert counts(changed) == {**counts(network), **others}
    with torch.no_grad():
        assert changed(torch.randn(2, 3, 48, 48)).shape == (2, 5)


def test_all_are_exported_and_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    exported, timed = {}, []

    def bench(models: list[str], runtimes: list[str], **options: Any) -> Bench:
        timed.append((models, runtimes, options))
        rows = (BenchRow(model, "onnx", (3, 48, 48), None, p50_ms=float(i)) for i, model in enumerate(models))
        return Bench(tuple(rows), 1, **options, runs=1, size=None, machine={})

    network = ferzoo.create_model("lfnsb_fast", num_classes=5)
    monkeypatch.setattr(fast_ablation, "create_model", lambda *_, **__: network)
    monkeypatch.setattr(fast_ablation, "export", lambda model, path: exported.update({path.stem: counts(model)}))
    monkeypatch.setattr(fast_ablation, "bench", bench)
    assert fast_ablation.main(["--threads", "1", "--rounds", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    ((models, runtimes, options),) = timed
    assert [Path(model).stem for model in models] == list(exported) == list(VARIANTS)
    assert (runtimes, options["threads"], options["rounds"], options["relative_to"]) == (["onnx"], 1, 3, models[0])
    assert [(row["model"], row["what"], row["p50_ms"]) for row in found["rows"]] == [
        (name, VARIANTS[name][0], float(i)) for i, name in enumerate(VARIANTS)
    ]
    assert found["relative_to"] == "as_it_is" and exported["prelu"]["PReLU"] > exported["as_it_is"]["PReLU"]
