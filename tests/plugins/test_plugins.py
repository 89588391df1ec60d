"""Two distributions outside ferzoo, one sound and one broken, seen from fresh interpreters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

LISTING = """
import sys
import ferzoo
imported = lambda *roots: sorted(m for m in sys.modules if m.partition(".")[0] in roots)
out = {
    "models": ferzoo.list_models(),
    "filtered": ferzoo.list_models("ferzoo_ex*"),
    "blocks": ferzoo.list_blocks(),
    "losses": ferzoo.list_losses(),
    "imported": imported("torch", "timm", "ferzoo_example", "ferzoo_broken"),
}
"""

EXAMPLE = """
import hashlib, json, os, sys, tempfile, warnings
warnings.simplefilter("error", UserWarning)
import ferzoo
plugin = lambda: sorted(m for m in sys.modules if m.partition(".")[0] == "ferzoo_example")
out = {}
net = ferzoo.create_model("ferzoo_example_net", num_classes=5, in_chans=2).eval()
out["after the model"] = plugin()
import timm, torch
import torch.nn.functional as F
from safetensors.torch import save_file
x = torch.randn(1, 2, 50, 64)
with torch.no_grad():
    out["logits"] = list(net(x).shape)
    maps = ferzoo.create_model("ferzoo_example_net", in_chans=2, features_only=True).eval()(x)
    out["maps"] = [list(m.shape) for m in maps]
gate = ferzoo.create_block("example_contrast_gate", 6).double()
out["after the block"] = plugin()
y = torch.randn(3, 6, 4, 5, dtype=torch.double)
mean_and_std = y.mean((2, 3)) + (y.var((2, 3), correction=0) + 1e-6).sqrt()
hidden = F.relu(mean_and_std @ gate.fc1.weight[:, :, 0, 0].T + gate.fc1.bias)
gates = torch.sigmoid(hidden @ gate.fc2.weight[:, :, 0, 0].T + gate.fc2.bias)
out["gate error"] = (gate(y) - y * gates[:, :, None, None]).abs().max().item()
logits, target = torch.randn(4, 8), torch.tensor([0, 3, 7, 7])
focal = ferzoo.create_loss("example_focal", gamma=2.0)
p = logits.softmax(1)[range(4), target]
out["focal error"] = abs(focal(logits, target).item() - (-((1 - p) ** 2) * p.log()).mean().item())
soft = torch.rand(4, 8).softmax(1)
plain = ferzoo.create_loss("example_focal", gamma=0)
out["soft error"] = abs(plain(logits, soft).item() - F.cross_entropy(logits, soft).item())
sure = torch.full((1, 8), -200.0).index_fill_(1, torch.tensor(3), 200.0).requires_grad_()
ferzoo.create_loss("example_focal", gamma=0.5)(sure, torch.tensor([3])).backward()
out["finite"] = bool(sure.grad.isfinite().all())

from ferzoo.testing import check_loss
out["checks"] = {str(gamma): check_loss("example_focal", gamma=gamma) for gamma in (0.0, 0.5, 2.0)}
both = ferzoo.create_loss("ce + 0.5*example_focal(gamma=0.0)", num_classes=8, feat_dim=16)
logged = both({"logits": logits, "features": torch.randn(4, 16)}, target), F.cross_entropy(logits, target) * 1.5
out["sum error"] = abs(logged[0] - logged[1]).item()

folder = tempfile.mkdtemp()
path = os.path.join(folder, "ferzoo_example_net.mine")
save_file(net.state_dict(), path + ".safetensors")
digest = hashlib.sha256(open(path + ".safetensors", "rb").read()).hexdigest()
with open(path + ".json", "w") as file:
    json.dump({"sha256": digest, "cfg": {"num_classes": 5, "input_size": [2, 64, 64]}}, file)
os.environ["FERZOO_WEIGHTS"] = folder
mine = ferzoo.create_model("ferzoo_example_net.mine", pretrained=True).eval()
out["same logits"] = bool(torch.equal(mine(x), net(x)))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    seven = ferzoo.create_model("ferzoo_example_net.mine", pretrained=True, num_classes=7, in_chans=3)
out["said"] = [str(w.message) for w in said]
out["same but the ends"] = all(
    torch.equal(a, b) for (n, a), b in zip(net.state_dict().items(), seven.state_dict().values())
    if not n.startswith(("stem.conv", "head"))
)
out["seven"] = list(seven(torch.randn(2, 3, 64, 64)).shape)

assert not timm.is_model("lfnsb")
rows = ferzoo.load_plugins()
out["listed"] = timm.list_models("lfn*")
out["in module"] = timm.list_models(module="net")
out["classes"] = [timm.create_model(n, **k).num_classes for n, k in
                  (("lfnsb", {"num_classes": 7}), ("ferzoo_example_net", {}))]
out["errors"] = [r.error for r in rows if r.distribution == "ferzoo-example"]
"""


@pytest.fixture(scope="module")
def listing(run_python: Any, installed: dict[str, Path]) -> Any:
    return run_python(LISTING, installed.values())


@pytest.fixture(scope="module")
def example(run_python: Any, installed: dict[str, Path]) -> Any:
    return run_python(EXAMPLE, [installed["example"]])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("models", "ferzoo_example_net"),
        ("models", "lfnsb"),
        ("models", "broken_at_import"),
        ("blocks", "example_contrast_gate"),
        ("blocks", "coord_att"),
        ("losses", "example_focal"),
    ],
)
def test_metadata_lists_every_name(listing: Any, kind: str, name: str) -> None:
    assert name in listing[kind]
    assert listing[kind] == sorted(listing[kind])


def test_listing_imports_no_plugin_and_neither_torch_nor_timm(listing: Any) -> None:
    assert listing["imported"] == []
    assert listing["filtered"] == ["ferzoo_example_net"]


def test_only_the_module_behind_the_name_is_imported(example: Any) -> None:
    assert example["after the model"] == ["ferzoo_example", "ferzoo_example.net"]
    assert example["after the block"] == ["ferzoo_example", "ferzoo_example.gate", "ferzoo_example.net"]


def test_the_examples_network_is_a_timm_citizen(example: Any) -> None:
    assert example["logits"] == [1, 5]
    assert example["maps"] == [[1, 16, 25, 32], [1, 24, 13, 16], [1, 48, 7, 8], [1, 96, 4, 4]]


@pytest.mark.parametrize(
    ("what", "bound"), [("gate error", 1e-12), ("focal error", 1e-6), ("soft error", 1e-6), ("sum error", 1e-6)]
)
def test_the_examples_block_and_loss_match_their_equations(example: Any, what: str, bound: float) -> None:
    assert example[what] < bound


def test_the_examples_loss_has_a_finite_slope_where_the_network_is_sure(example: Any) -> None:
    assert example["finite"]


@pytest.mark.parametrize("gamma", ["0.0", "0.5", "2.0"])
def test_the_examples_loss_passes_check_loss_from_outside(example: Any, gamma: str) -> None:
    assert {"value", "gradients", "gradcheck", "labels", "precision"} <= set(example["checks"][gamma])


def test_a_plugins_network_takes_weights_of_the_users_own(example: Any) -> None:
    assert example["same logits"]
    assert example["same but the ends"]
    assert example["seven"] == [2, 7]
    assert len(example["said"]) == 1 and "5 classes and the network 7" in example["said"][0]


def test_plain_timm_makes_the_models_once_the_plugins_are_loaded(example: Any) -> None:
    assert {"lfn", "lfnsb"} <= set(example["listed"])
    assert "ferzoo_example_net" in example["in module"]
    assert example["classes"] == [7, 8]
    assert example["errors"] == ["", "", ""]
