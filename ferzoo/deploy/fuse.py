"""`fuse`: the same function with BatchNorms folded into convolutions, and blocks as PyTorch is quick at them."""

from __future__ import annotations

import copy
import logging
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ..errors import FerzooError, first_line
from .bottleneck import BlockedBottleneck, ChannelsLastBottleneck, can_rewrite, has_hooks

__all__ = ["fold", "fuse", "fuse_for_onnxruntime", "fuse_for_openvino"]

_logger = logging.getLogger(__name__)
#: These alone, and no subclasses, which may compute something else.
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)
_REP_VGG_DW = (RepVggDw, ConvNorm, nn.Conv2d, nn.BatchNorm2d, nn.Identity)

ModuleT = TypeVar("ModuleT", bound=nn.Module)
#: torch.fx replaces `nn.Module.__call__` while it traces: two at once would put back the wrong one.
_tracing = threading.Lock()


class _Tracer(torch.fx.Tracer):
    """torch.fx's tracer, which leaves alone the modules that other threads call meanwhile, and timm's norms whole."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _NORMS or super().is_leaf_module(m, module_qualified_name)


def fuse(model: ModuleT) -> ModuleT:
    """Make a network faster, with the same outputs: fold its BatchNorms, and rewrite its MixConv bottlenecks.

    The folding is that of `fold`. MixConv bottlenecks become `ferzoo.deploy.bottleneck.ChannelsLastBottleneck`.
    Outputs and every stage's features stay equal to rounding.

    Args:
        model: Any network; it is left as it is.

    Returns:
        A copy in eval mode, of the same class and with the same methods, except that a Conv2d_BN or RepVGGDW
        becomes a convolution. Its `state_dict` has other names: load it into another fused network of the same kind.
    """
    return _rewrite(model, ChannelsLastBottleneck)


def fuse_for_onnxruntime(model: ModuleT) -> ModuleT:
    """As `fuse`, in the operations that ONNX Runtime is quick at: see `ferzoo.deploy.bottleneck.BlockedBottleneck`.

    Args:
        model: Any network; it is left as it is.
    """
    return _rewrite(model, lambda block: BlockedBottleneck(block, native=False))


def fuse_for_openvino(model: ModuleT) -> ModuleT:
    """As `fuse`, in the operations that OpenVINO is quick at: see `ferzoo.deploy.bottleneck.BlockedBottleneck`.

    Args:
        model: Any network; it is left as it is.
    """
    return _rewrite(model, lambda block: BlockedBottleneck(block, native=True))


@torch.no_grad()
def _rewrite(model: ModuleT, bottleneck: Callable[[nn.Module], nn.Module]) -> ModuleT:
    folded = fold(model)
    for name, module in list(folded.named_modules()):
        if can_rewrite(module):
            like = next(module.parameters())
            folded = _replace(folded, name, bottleneck(module).to(device=like.device, dtype=like.dtype).eval())
    return folded


@torch.no_grad()
def fold(model: ModuleT) -> ModuleT:
    """Fold every BatchNorm that follows a convolution or Linear, and every RepVGGDW, into one layer.

    Conv2d_BN: weight w * g / sqrt(v + eps), bias b - m * g / sqrt(v + eps), with the BatchNorm's weight g,
    bias b, mean m and variance v. RepVGGDW becomes one depthwise convolution (RepViT, arXiv 2307.09283,
    section 3.2). The folding runs in float64. Of timm's BatchNormAct2d the activation stays. A BatchNorm1d after a
    Linear is taken to see (N, C). Layers and blocks with hooks or parametrisations, and subclasses of them, are left as
    they are.

    torch.fx finds the pairs. Where it cannot trace the network, as with timm's wrapper for `features_only`, each part
    is traced by itself; one warning is logged that counts the BatchNorms that are left because of it.

    Args:
        model: Any network in eager mode; it is left as it is.

    Returns:
        A copy in eval mode, of the same class and with the same methods, as of `fuse`.

    Raises:
        FerzooError: If the network is a TorchScript module, which cannot be changed.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise FerzooError("A TorchScript module cannot be changed any more: fuse the network before it is scripted.")
    fused: Any = copy.deepcopy(model).eval()
    for name, module in list(fused.named_modules()):
        if type(module) is RepVggDw and all(type(m) in _REP_VGG_DW and not has_hooks(m) for m in module.modules()):
            fused = _replace(fused, name, _fold_rep_dw(module))
    untraced: dict[str, list[str]] = {}
    for layer_name, norm_name in _pairs(fused, untraced):
        layer, norm = fused.get_submodule(layer_name), fused.get_submodule(norm_name)
        _replace(fused, layer_name, _fold(layer, norm))
        _replace(fused, norm_name, _after(norm))
    for name, module in list(fused.named_modules()):
        if type(module) is ConvNorm and isinstance(module.bn, nn.Identity) and not has_hooks(module):
            fused = _replace(fused, name, module.c)
    if untraced:
        counts = ", ".join(f"{len(reasons)} of {kind}" for kind, reasons in untraced.items())
        why = textwrap.shorten(next(iter(untraced.values()))[0], 120)
        _logger.warning("BatchNorms are left, because torch.fx cannot trace what calls them: %s (%s)", counts, why)
    return fused


def _replace(root: Any, name: str, new: nn.Module) -> Any:
    """The root with another module of this name; the module itself where the name is the root's, ''."""
    if not name:
        return new
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, new)
    return root


def _after(norm: Any) -> nn.Module:
    """What is left of a norm that is folded: nothing, or the activation of timm's."""
    left = [m for m in (norm.drop, norm.act) if not isinstance(m, nn.Identity)] if type(norm) is BatchNormAct2d else []
    return left[0] if len(left) == 1 else nn.Sequential(*left) if left else nn.Identity()


def _fold(layer: Any, norm: Any) -> Any:
    dtype = next(layer.parameters()).dtype
    wide, wide_norm = copy.deepcopy(layer).double().eval(), copy.deepcopy(norm).double().eval()
    fold: Any = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
    return fold(wide, wide_norm).to(dtype)


def _fold_rep_dw(block: RepVggDw) -> nn.Conv2d:
    """BN(conv3x3(x) + conv1x1(x) + x) as one depthwise convolution."""
    large = _fold(block.conv.c, block.conv.bn).double()
    small = _fold(block.conv1.c, block.conv1.bn) if isinstance(block.conv1, ConvNorm) else block.conv1
    small = copy.deepcopy(small).double()
    margin = [side // 2 for side in large.kernel_size for _ in range(2)]
    large.weight += F.pad(small.weight + 1, margin)
    large.bias += small.bias
    dtype = next(block.parameters()).dtype
    return (large if isinstance(block.bn, nn.Identity) else _fold(large, block.bn)).to(dtype)


def _pairs(model: nn.Module, untraced: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Names of layers and of the BatchNorms that take nothing but their output.

    Args:
        model: The network.
        untraced: Gets, by their class, a reason for each BatchNorm of modules that cannot be traced.
    """
    try:
        with _tracing:
            graph = _Tracer().trace(model)
    except Exception as error:  # a forward that depends on data can fail in any way
        return _pairs_inside(model, untraced, error)
    modules = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    # Whose weights are read as such, too.
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or type(modules[node.target]) not in _NORMS:
            continue
        before = next(iter((*node.args, *node.kwargs.values())))
        if (
            isinstance(before, torch.fx.Node)
            and before.op == "call_module"
            and len(before.users) == 1
            and calls[node.target] == calls[before.target] == 1
            and not read & {before.target, node.target}
            and _can_fold(modules[before.target], modules[node.target])
        ):
            pairs.append((str(before.target), str(node.target)))
    # What only a loss is given stands outside of the graph.
    uncalled = [(a, b) for a, b in _sequential_pairs(model) if not calls[a] and not calls[b]]
    return pairs + uncalled


def _pairs_inside(model: nn.Module, untraced: dict[str, list[str]], error: Exception) -> list[tuple[str, str]]:
    """The same of a module whose forward cannot be traced: those of each child, traced by itself."""
    pairs = _adjacent_pairs(model)
    for name, child in model.named_children():
        if any(isinstance(module, _NORMS) for module in child.modules()) and not isinstance(child, _NORMS):
            pairs += [(f"{name}.{a}", f"{name}.{b}") for a, b in _pairs(child, untraced)]
    # A module with two names is called from two places.
    names = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    pairs = [pair for pair in pairs if all(names[id(model.get_submodule(name))] == 1 for name in pair)]
    folded = {norm for _, norm in pairs}
    own = [name for name, child in model.named_children() if isinstance(child, _NORMS) and name not in folded]
    if own:
        untraced.setdefault(type(model).__name__, []).extend([first_line(error)] * len(own))
    return pairs


def _sequential_pairs(model: nn.Module) -> list[tuple[str, str]]:
    return [
        (f"{name}.{a}".lstrip("."), f"{name}.{b}".lstrip("."))
        for name, module in model.named_modules()
        for a, b in _adjacent_pairs(module)
    ]


def _adjacent_pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of neighbours in an nn.Sequential; none of other modules."""
    children = list(module.named_children()) if type(module).forward is nn.Sequential.forward else []
    return [(a, b) for (a, x), (b, y) in zip(children, children[1:], strict=False) if _can_fold(x, y)]


def _can_fold(layer: Any, norm: Any) -> bool:
    return (
        type(layer) in _LAYERS
        and type(norm) in _NORMS
        and norm.running_var is not None
        and norm.num_features == layer.weight.shape[0]  # a BatchNorm1d of a sequence has its length
        and not has_hooks(layer)
        and not has_hooks(norm)
    )
