"""The networks that `bench` measures, and that every runtime runs just that network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

pytest.importorskip("onnxruntime", reason="comes with the extra export")
pytest.importorskip("onnx", reason="comes with the extra export")

from tiny_onnx import SIDE, tiny_network, write_tiny

import ferzoo
from ferzoo.deploy import bench_networks as module
from ferzoo.deploy.bench_files import Subject, prepare
from ferzoo.deploy.bench_networks import calibrate, denormals, find_network, rebuild
from ferzoo.deploy.bench_runtimes import RUNTIMES, Job
from ferzoo.errors import FerzooError, UnknownNameError
from ferzoo.weights.configs import checkpoints

SMALL = "mobilenetv3_small_050"


def prepared(name: str, folder: Path, size: int | None = None, batch: int = 1) -> Subject:
    [subject] = prepare([name], folder, ["safetensors"], batch, size, lambda *_: None)
    return subject


def test_a_name_with_weights_is_trained() -> None:
    found = find_network("lanmsff")
    expected = ferzoo.create_model("lanmsff", pretrained=True).state_dict()
    assert found.trained and all(torch.equal(v, expected[k]) for k, v in found.network.state_dict().items())


def test_networks_of_timm_keep_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "try_to_load_from_cache", lambda repo, file: None)
    assert find_network(SMALL, 64)[1:] == (False, None, {})
    other = timm.create_model(SMALL).state_dict()
    other["conv_stem.weight"] += 1
    save_file(other, tmp_path / "model.safetensors")
    asked = []

    def cached(repo: str, file: str) -> str:
        asked.append((repo, file))
        return str(tmp_path / file)

    monkeypatch.setattr(module, "try_to_load_from_cache", cached)
    found = find_network(SMALL)
    assert found.trained and torch.equal(found.network.state_dict()["conv_stem.weight"], other["conv_stem.weight"])
    assert asked == [(timm.get_pretrained_cfg(SMALL).hf_hub_id, "model.safetensors")]


@pytest.mark.parametrize(("runtime", "spins"), [("onnx", "0"), ("onnx-spin", "1")])
def test_waiting_threads_of_onnx_runtime_sleep_or_spin(
    runtime: str, spins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    real, seen = onnxruntime.InferenceSession, []

    def session(file: str, options: Any, providers: list[str]) -> Any:
        seen.append((options.get_session_config_entry("session.intra_op.allow_spinning"), options.intra_op_num_threads))
        return real(file, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    job = Job("tiny", runtime, str(write_tiny(tmp_path / "tiny.onnx")), "", 3)
    RUNTIMES[runtime].open(job, np.zeros((1, 3, SIDE, SIDE), np.float32))
    assert seen == [(spins, 3)]


def test_a_name_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        find_network("resnet18x")


def test_an_untrained_network_is_the_same_in_its_process(tmp_path: Path) -> None:
    torch.manual_seed(1)
    assert not [c for c in checkpoints().values() if c.architecture == "lfnsb_concat"]
    subject = prepared("lfnsb_concat", tmp_path, 48, batch=3)
    assert (subject.trained, subject.arguments, subject.input) == (False, {"img_size": 48}, (3, 48, 48))
    assert "untrained weights" in subject.note and "denormal" not in subject.note
    batch = np.load(subject.batch)
    assert batch.shape == (3, 3, 48, 48) and batch.dtype == np.float32 and np.ptp(batch) > 1
    assert (batch[0] == batch[2]).all()
    torch.manual_seed(2)
    weights = subject.files["safetensors"]
    network = rebuild(subject.name, False, subject.arguments, str(weights))
    stored = load_file(weights)
    assert all(torch.equal(v, stored[k]) for k, v in network.state_dict().items())
    assert subject.flops == ferzoo.profile(network, (3, 48, 48), latency=False).flops
    assert subject.size_bytes("safetensors") == weights.stat().st_size


def test_a_trained_network_is_found_again(tmp_path: Path) -> None:
    subject = prepared("lanmsff", tmp_path, 32)
    assert (subject.trained, subject.input, subject.note) == (True, (1, 32, 32), "")
    network = rebuild("lanmsff", True, {}, "")
    stored = load_file(subject.files["safetensors"])
    assert all(torch.equal(v, stored[k]) for k, v in network.state_dict().items())


def test_a_size_that_a_network_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match="8x8"):
        prepared("lanmsff", tmp_path, 8)


def test_an_export_that_fails_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(network: Any, path: Path) -> None:
        raise FerzooError("cannot be exported")

    monkeypatch.setattr("ferzoo.deploy.bench_files.export", fail)
    [subject] = prepare(["lanmsff"], tmp_path, ["safetensors", "onnx"], 1, 32, lambda *_: None)
    assert subject.errors["onnx"] == "cannot be exported" and "safetensors" in subject.files


def test_denormal_numbers_are_counted_and_avoided() -> None:
    x = torch.tensor([[1.0, 1e-40, 0.0, -1e-39, 2e-38, 3.0, 4.0, 5.0]])
    assert denormals(nn.Sequential(nn.Identity()), x) == 0.25
    torch.manual_seed(0)
    network = nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))))
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.mul_(1e-2)
            layer.bias.data.zero_()
        else:
            layer.running_var.fill_(1e16)
    faces = torch.randn(2, 3, 8, 8)
    assert denormals(network.eval(), faces) > 0.1  # nearly all of the eighth layer
    calibrate(network, (3, 8, 8))
    assert not network.training and denormals(network, faces) == 0
    assert 0.5 < float(network(faces).detach().std()) < 2


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if not RUNTIMES[name].gpu])
@pytest.mark.parametrize("batch", [1, 2])
def test_every_runtime_runs_the_network(
    runtime: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if runtime.startswith("openvino"):
        pytest.importorskip("openvino", reason="comes with the extra openvino")
    x = np.random.default_rng(1).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)
    network = tiny_network()
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    monkeypatch.setattr(module, "rebuild", lambda *_: network)
    # Compiling takes a C++ compiler and long; that it is compiled, after folding, is what is seen here.
    compiled: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda net, dynamic: compiled.append((net, dynamic)) or net)
    job = Job("tiny", runtime, str(write_tiny(tmp_path / "tiny.onnx")), "", torch.get_num_threads())
    try:
        run, note = RUNTIMES[runtime].open(job, x)
    except FerzooError as error:
        pytest.skip(str(error))
    found: Any = run()
    tolerance = 0.05 if runtime.endswith("bf16") else 1e-5
    assert np.abs(np.asarray(found if torch.is_tensor(found) else found[0]) - expected).max() < tolerance
    assert note == "" and len(compiled) == (runtime == "compiled")
    assert all(net is not network and dynamic is False for net, dynamic in compiled)
