"""Maps between the stages, as timm's `features_only` and detection code ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from timm.models import checkpoint_seq
from timm.models._features import feature_take_indices
from torch import nn

from .inputs import check_input

__all__ = ["Intermediates"]


class Intermediates(nn.Module):
    """`forward_intermediates` and `prune_intermediate_layers` of a network of stem, stages and final convolution."""

    # For type checkers alone: TorchScript would read these annotations.
    if TYPE_CHECKING:
        in_chans: int
        num_regions: int
        grad_checkpointing: bool
        stem: nn.Module
        stages: nn.Sequential
        final_conv: nn.Module
        pool: Any
        head: Any
        reset_classifier: Callable[..., None]

    def fuse_stages(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The map that `forward_features` returns, from the maps of stem and stages."""
        return self.final_conv(maps[-1])

    @torch.jit.ignore
    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Maps of the stem and of each stage.

        Args:
            x: Batch (N, in_chans, H, W), of any size from 32 px up.
            indices: Last n if a number, chosen ones if a list, all if None.
            norm: Also apply the final convolution to the last stage's map.
            stop_early: Do not run past the last wanted stage.
            output_fmt: ``"NCHW"``, the one format there is.
            intermediates_only: Return the maps alone.

        Returns:
            The maps, or what `forward_features` returns (the last map there is, if stopped early) and the maps.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got {output_fmt!r}.")
        wanted, last = feature_take_indices(len(self.stages) + 1, indices)
        x = self.stem(check_input(x, self.in_chans, None, self.num_regions))  # the head alone has to know the size
        maps = [x] if 0 in wanted else []
        kept = [x]
        for i, stage in enumerate(self.stages, start=1):
            if stop_early and i > last:
                break
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            kept.append(x)
            if i in wanted:
                maps.append(self.final_conv(x) if norm and i == len(self.stages) else x)
        if intermediates_only:
            return maps
        # Stopped early, there is no last stage to fuse: the map so far, as timm's networks give it.
        return self.fuse_stages(kept) if len(kept) == len(self.stages) + 1 else x, maps

    @torch.jit.ignore
    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages that no wanted map needs.

        Args:
            indices: As in `forward_intermediates`.
            prune_norm: Also drop the final convolution, which never outlives the last stage.
            prune_head: Also drop the pool and the classifier.

        Returns:
            The kept indices.
        """
        wanted, last = feature_take_indices(len(self.stages) + 1, indices)
        # Its width is the last stage's: without that stage it has no input.
        prune_norm = prune_norm or last < len(self.stages)
        self.stages = self.stages[:last]
        if prune_norm:
            self.final_conv = nn.Identity()
        if prune_head:
            self.reset_classifier(0, "")
        return wanted
