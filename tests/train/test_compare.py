"""Networks side by side, with and without weights; the chart; and the benchmark of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from measured_networks import Brightness, pictures

import ferzoo
from ferzoo.deploy.profile import Profile
from ferzoo.errors import DataError, FerzooError, UnknownNameError, WeightsNotFoundError
from ferzoo.labels import FER2013, FERPLUS
from ferzoo.models.papers import PAPERS
from ferzoo.train import compare as module
from ferzoo.train.checkpoint import write_checkpoint, write_json
from ferzoo.train.compare import compare, comparison_chart
from ferzoo.train.measured import Measured
from ferzoo.train.throughput import throughput
from ferzoo.weights.configs import Checkpoint

PLAIN = {"flip": False, "rows": 40, "accuracy": 75.0, "unseen": {"accuracy": 70.0}}
FLIPPED = {**PLAIN, "flip": True, "accuracy": 76.5, "unseen": {"accuracy": 71.5}}
KNOWN = Checkpoint(
    "mobilefacenet", "fer2013", "0" * 64, "fer2013", {"input_size": [3, 64, 64]}, "research", "A test.",
    metrics={"validation": PLAIN, "validation_flip": FLIPPED},
)  # fmt: skip


@pytest.fixture
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed figures in place of measured ones."""

    def fixed(model: Any, runs: int) -> Profile:
        size = tuple(model.pretrained_cfg["input_size"])
        return Profile(sum(p.numel() for p in model.parameters()), 10**6, {}, 1, size, 2.5, 1)

    monkeypatch.setattr(module, "profile", fixed)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """One checkpoint is described, and its weights are not here."""

    def absent(name: str) -> None:
        raise WeightsNotFoundError(name)

    monkeypatch.setattr(module, "checkpoints", lambda: {KNOWN.name: KNOWN})
    monkeypatch.setattr(module, "default_tag", lambda name: KNOWN.tag if name == KNOWN.architecture else None)
    monkeypatch.setattr(module, "load_model", absent)


def test_figures_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "default_tag", lambda name: None)
    [row] = compare(["lanmsff"], runs=1)
    expected = ferzoo.profile(ferzoo.create_model("lanmsff"), latency=False)
    assert (row["parameters"], row["flops"]) == (expected.parameters, expected.flops)
    assert tuple(row["input"]) == expected.input_size
    assert row["latency_ms"] > 0 and row["threads"] >= 1
    assert (row["accuracy"], row["accuracy_unseen"], row["note"]) == (None, None, "no weights")


@pytest.mark.parametrize(("flip", "accuracy"), [(False, (75.0, 70.0)), (True, (76.5, 71.5))])
def test_accuracy_of_hub_configs(flip: bool, accuracy: tuple, no_profile: None, known: None) -> None:
    with_weights, without = compare(["mobilefacenet", "lanmsff"], flip=flip)
    assert (with_weights["accuracy"], with_weights["accuracy_unseen"]) == accuracy
    assert (with_weights["data"], with_weights["measured"]) == ("fer2013 validation", "hub_configs")
    assert with_weights["input"] == [3, 64, 64]  # the weights' size, not the architecture's
    expected = ferzoo.create_model("mobilefacenet", num_classes=7, img_size=64)
    assert with_weights["parameters"] == sum(p.numel() for p in expected.parameters())
    assert (without["accuracy"], without["measured"], without["note"]) == (None, None, "no weights")


def test_accuracy_of_a_checkpoint_folder(tmp_path: Path, no_profile: None) -> None:
    model = ferzoo.create_model("lanmsff")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    cfg |= {"architecture": "lanmsff", "num_classes": 8, "label_names": FERPLUS}
    write_checkpoint(tmp_path, model, cfg, {"labels": "ferplus"})
    [row] = compare([str(tmp_path)])
    assert (row["accuracy"], row["measured"]) == (None, None)
    write_json(tmp_path / "metrics.json", {"split": "validation", **PLAIN})
    [row] = compare([str(tmp_path)])
    assert (row["accuracy"], row["data"], row["measured"]) == (75.0, "ferplus validation", "metrics.json")


def test_what_a_run_says_of_its_training(tmp_path: Path, no_profile: None) -> None:
    model = ferzoo.create_model("lanmsff")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    cfg |= {"architecture": "lanmsff", "num_classes": 8, "label_names": FERPLUS}
    write_checkpoint(tmp_path, model, cfg, {"labels": "ferplus"})
    write_json(tmp_path / "metrics.json", {"split": "validation", **PLAIN, "accuracy": 81.0})
    losses = (0.70, 0.65, 0.60)
    history = [{"size": 48, "accuracy": 81.0, "nll": n, "faces_seen": 64 * i} for i, n in enumerate(losses, start=1)]
    write_json(tmp_path / "history.json", history)
    write_json(tmp_path / "recipe.json", {"epochs": 3})
    for converged, accuracy in ((False, 81.0), (True, None)):
        [row] = compare([str(tmp_path)], converged=converged)
        assert (row["accuracy"], row["faces_seen"], row["loss_fall"]) == (accuracy, 192, 14.29)
        assert row["note"] == "not converged: its validation loss fell from 0.6500 to 0.6000 in the last epoch"


def test_a_network_is_measured_as_its_paper_prints_it(no_profile: None) -> None:
    ddamfn, lfn = compare(["ddamfn", "lfn"])
    assert ddamfn["input"] == [3, 112, 112] and ddamfn["parameters"] != ddamfn["parameters_as_printed"]
    paper = PAPERS["ddamfn"]
    expected = ferzoo.create_model("ddamfn", num_classes=paper.num_classes, img_size=paper.input_size[1:])
    assert ddamfn["parameters_as_printed"] == sum(p.numel() for p in expected.parameters())
    assert ddamfn["flops_as_printed"] == ferzoo.profile(expected, paper.input_size, latency=False).flops
    assert (ddamfn["paper_parameters"], ddamfn["paper_flops"]) == (paper.parameters, paper.flops)
    assert lfn["paper_flops"] is lfn["flops_as_printed"] is lfn["parameters_as_printed"] is None


def test_accuracy_measured_here(no_profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = pictures([0, 1, 2, 7], [0, 1, 3, 7], FERPLUS)
    networks: dict[str, tuple] = {
        "a": (Brightness(FERPLUS), True, {}),
        "b": (Brightness(FER2013), True, {"plain": PLAIN}),
        "c": (Brightness(("cat", "dog")), True, {}),
        "d": (Brightness(FERPLUS), False, {"plain": PLAIN}),
    }
    monkeypatch.setattr(module, "_load", networks.get)
    monkeypatch.setattr(module, "read_measured", lambda *_, **__: Measured(faces, "ferplus", "validation"))
    a, b, c, d = compare(["a", "b", "c", "d"], "FOLDER")
    assert (a["accuracy"], a["rows"], a["data"], a["measured"]) == (75.0, 4, "ferplus validation", "here")
    assert b["rows"] == 3 and "contempt" in b["note"]
    assert c["accuracy"] is None and "no expression in common" in c["note"]
    # What hub_configs says was not measured on this data.
    assert (d["accuracy"], d["note"]) == (None, "no weights here")
    written = comparison_chart([a, b, c, d]).svg()
    assert written.count("<circle") == 2
    assert "accuracy on ferplus validation, all rows" in written and "1 CPU thread)" in written
    with pytest.raises(DataError, match="nothing to draw"):
        comparison_chart([c, d])


@pytest.mark.parametrize(
    ("labels", "measured_on"),
    [
        (("folder", ""), "folder"),
        (("folder", "folder"), "folder"),
        (("", ""), "ferplus"),
        (("folder", "ferplus"), "ferplus"),
        (("folder", "rafdb"), None),
    ],
)
def test_the_data_set_is_that_of_the_weights(
    labels: tuple, measured_on: str | None, no_profile: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = [Brightness(("happy", "cat")) for _ in labels]
    for network, name in zip(networks, labels, strict=True):
        network.ferzoo_cfg = {"labels": name}  # type: ignore[assignment]
    monkeypatch.setattr(module, "_load", lambda name: (networks[int(name)], True, {}))
    faces = pictures([0], [0], ("happy", "cat"))
    monkeypatch.setattr("ferzoo.train.measured.read_faces", lambda *_, **__: faces)
    if measured_on:
        rows = compare(["0", "1"], "FOLDER", device="cpu")
        assert [row["data"] for row in rows] == [f"{measured_on} validation"] * 2
    else:
        with pytest.raises(DataError, match="different data sets, folder, rafdb.*by dataset='NAME'"):
            compare(["0", "1"], "FOLDER")
    assert [row["data"] for row in compare(["0", "1"], "FOLDER", dataset="kdef")] == ["kdef validation"] * 2


def test_the_accuracy_is_measured_on_the_device(no_profile: None, monkeypatch: pytest.MonkeyPatch) -> None:
    network, moved = Brightness(FERPLUS), []
    faces = pictures([0], [0], FERPLUS)
    monkeypatch.setattr(module, "_load", lambda name: (network, True, {}))
    monkeypatch.setattr(module, "read_measured", lambda *_, **__: Measured(faces, "ferplus", "validation"))
    monkeypatch.setattr(network, "to", lambda device: moved.append(device.type) or network)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device in ({}, {"device": "cpu"}, {"device": "mps"}):
        compare(["a"], "FOLDER", **device)
    assert moved == ["cpu", "cpu", "mps"]
    with pytest.raises(FerzooError, match="'abacus' cannot be used, take auto or cpu"):
        compare(["a"], "FOLDER", device="abacus")


def test_unknown_networks_are_told() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'lanmsff'"):
        compare(["lanmsf"])


def test_throughput_reports_positive_figures() -> None:
    found = throughput(
        "mobilefacenet", size=32, batch_size=4, steps=1, repeats=1, device="cpu", model_kwargs={"img_size": 32}
    )
    assert found["model"] == "mobilefacenet" and found["dtype"] == "float32"
    assert all(found[key] > 0 for key in ("ferzoo", "plain", "loading", "ratio", "loading_ratio"))
