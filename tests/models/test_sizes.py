"""Input sizes: any from 32 px where the network allows it, one where it does not, and clear errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import ferzoo
from ferzoo.errors import InputSizeError
from ferzoo.models.lfn import LFN
from ferzoo.models.mfn import MFN
from ferzoo.models.mobilefacenet import MobileFaceNet
from ferzoo.models.papers import PAPERS
from ferzoo.weights.configs import checkpoints

FIXED = ("lfn", "lfnsb_concat", "mfn", "mobilefacenet")
SIZES = ((32, 32), (33, 47), (48, 32), (50, 101), (112, 112), (64, 129))


@pytest.fixture(scope="module", params=["lfnsb", "lanmsff"])
def any_size(request: pytest.FixtureRequest) -> torch.nn.Module:
    return ferzoo.create_model(request.param).eval()


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_any_size_from_32_px_works(any_size: torch.nn.Module, size: tuple[int, int]) -> None:
    x = torch.randn(2, any_size.in_chans, *size)
    logits = any_size(x)
    assert logits.shape == (2, 8)
    assert logits.isfinite().all()
    assert torch.allclose(any_size(x[1:]), logits[1:], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("size", [(31, 64), (64, 31), (1, 1)])
def test_less_than_32_px_is_an_error_that_says_so(any_size: torch.nn.Module, size: tuple[int, int]) -> None:
    with pytest.raises(InputSizeError, match=f"takes 32 px and more a side, the batch is {size[0]}x{size[1]} px"):
        any_size(torch.randn(2, any_size.in_chans, *size))


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (37, 75)])
def test_lanmsff_classifies_the_pooled_maps_where_the_size_divides_by_16(size: tuple[int, int]) -> None:
    model = ferzoo.create_model("lanmsff", num_classes=0).eval()
    x = torch.randn(2, 1, *size)
    maps = model.forward_intermediates(x, intermediates_only=True)
    assert [m.shape[2:] for m in maps] == [torch.Size((size[0] >> i, size[1] >> i)) for i in (1, 2, 3, 4)]
    pooled = torch.cat([*(model.filter(m).mean((2, 3)) for m in maps[:3]), maps[3].mean((2, 3))], dim=1)
    if size[0] % 16 == size[1] % 16 == 0:
        assert torch.allclose(model(x), pooled, rtol=1e-4, atol=1e-6)
    features = model.forward_features(x)
    assert torch.equal(features[:, :22], F.adaptive_avg_pool2d(model.filter(maps[0]), maps[3].shape[2:]))
    assert torch.equal(features[:, 72:], maps[3])


@torch.no_grad()
@pytest.mark.parametrize("name", FIXED)
def test_a_fresh_network_has_its_paper_s_size_and_a_tagged_one_that_of_its_weights(name: str) -> None:
    built = {name: PAPERS[name].input_size[1:]}
    built |= {c.name: tuple(c.cfg["input_size"][1:]) for c in checkpoints().values() if c.architecture == name}
    for wanted, size in built.items():
        model = ferzoo.create_model(wanted).eval()
        assert model.img_size == model.pretrained_cfg["input_size"][1:] == size
        features = model.forward_features(torch.zeros(1, 3, *size))
        assert tuple(model.pretrained_cfg["pool_size"]) == features.shape[2:]


@torch.no_grad()
@pytest.mark.parametrize("name", ferzoo.list_models())
def test_pool_size_is_that_of_the_last_map(name: str) -> None:
    overlay = {"input_size": (1, 40, 72)}
    model = ferzoo.create_model(name, in_chans=1, img_size=(40, 72), pretrained_cfg_overlay=overlay).eval()
    assert model.pretrained_cfg["pool_size"] == model.forward_features(torch.zeros(1, 1, 40, 72)).shape[2:]


@torch.no_grad()
@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("size", [32, (49, 80)], ids=str)
def test_others_are_built_for_a_size(name: str, size: int | tuple[int, int]) -> None:
    model = ferzoo.create_model(name, img_size=size).eval()
    height, width = (size, size) if isinstance(size, int) else size
    assert model.map_size == (-(-height // 16), -(-width // 16))
    x = torch.randn(2, 3, height, width)
    assert model.forward_features(x).shape[2:] == model.map_size
    assert model(x).shape == (2, 8)
    message = f"built for {height}x{width} px, the batch is 64x{width} px.*img_size=\\(64, {width}\\)"
    with pytest.raises(InputSizeError, match=message):
        model(torch.randn(2, 3, 64, width))


@pytest.mark.parametrize("name", FIXED)
def test_a_size_under_32_px_is_refused_at_construction(name: str) -> None:
    with pytest.raises(InputSizeError, match=r"img_size must be 32 px or more a side, got 31x31"):
        ferzoo.create_model(name, img_size=31)


@pytest.mark.parametrize("cls", [LFN, MFN, MobileFaceNet])
def test_no_size_at_all_is_refused_at_construction(cls: type[torch.nn.Module]) -> None:
    # Not through timm's factory, which leaves out arguments that are None.
    with pytest.raises(InputSizeError, match="Build the network with img_size"):
        cls(img_size=None)


@torch.no_grad()
def test_the_default_size_is_the_cfg_s() -> None:
    for name in FIXED:
        model = ferzoo.create_model(name)
        assert model.img_size == tuple(model.pretrained_cfg["input_size"][1:]) == (112, 112)
        assert model.pretrained_cfg["fixed_input_size"]


@torch.no_grad()
def test_channels_and_axes_are_named(any_size: torch.nn.Module) -> None:
    chans = any_size.in_chans
    with pytest.raises(InputSizeError, match=f"takes {chans} channel.*has 4.*in_chans=4"):
        any_size(torch.randn(2, 4, 64, 64))
    with pytest.raises(InputSizeError, match=rf"batch \(N, {chans}, H, W\), got a tensor of shape \({chans}, 64, 64\)"):
        any_size(torch.randn(chans, 64, 64))
