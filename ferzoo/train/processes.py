"""The processes of a run, by accelerate: one, or as many as `accelerate launch` or torchrun started."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.utils.data import DataLoader

from ..errors import MissingExtraError, RecipeError

__all__ = ["Processes", "is_first_process"]


#: How long the processes wait for one that does something alone, as hashing a data set's images.
PATIENCE = timedelta(hours=6)


class _AllGather(torch.autograd.Function):
    """All processes' rows; a gradient is the sum of what every process wants of these rows."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def is_first_process() -> bool:
    """Whether this is the process that prints and writes, where torchrun or accelerate started several."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """Device, rank and exchange between the processes of a run.

    Attributes:
        device: Where this process computes.
        rank: Number of this process, from 0.
        count: Number of processes.
    """

    def __init__(self, device: str = "auto") -> None:
        """Join the other processes, if there are any.

        Args:
            device: ``"auto"`` for a GPU where there is one, or ``"cpu"``.

        Raises:
            MissingExtraError: Without accelerate.
            RecipeError: If the device cannot be used, or the processes that were started did not find each other.
        """
        try:
            from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
            from accelerate.utils import InitProcessGroupKwargs
        except ImportError:
            raise MissingExtraError("Training", "train") from None
        if device not in ("auto", "cpu", "cuda"):
            raise RecipeError(f"device must be auto, cpu or cuda, got {device!r}.")
        if device == "cuda" and not torch.cuda.is_available():
            raise RecipeError("device='cuda' cannot be used: torch sees no GPU here. Take auto or cpu.")
        self._parallel = DistributedDataParallelKwargs()
        text = os.environ.get("WORLD_SIZE") or "1"
        if not text.isdecimal():
            raise RecipeError(
                f"WORLD_SIZE must be how many processes there are, got {text!r}: unset it, or use torchrun."
            )
        started = int(text)
        if started > 1 and "RANK" not in os.environ:
            raise RecipeError(f"WORLD_SIZE is {started}, and RANK is not set: start by torchrun, or unset WORLD_SIZE.")
        alone = started == 1
        self._accelerator = Accelerator(
            # Alone, this class chooses the device: accelerate keeps the first one of a Python process. Several without
            # a GPU find each other only where accelerate is told that they are on CPUs.
            cpu=alone or device == "cpu" or not torch.cuda.is_available(),
            mixed_precision="no",  # the loop's own autocast
            dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
            kwargs_handlers=[self._parallel, InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        self.device = self._accelerator.device
        if alone and device != "cpu" and torch.cuda.is_available():
            self.device = torch.device("cuda")
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes
        if self.count < started:
            raise RecipeError(
                f"{started} processes were started, and accelerate did not join them: each would train a network of "
                "its own into one folder. Start them by torchrun, and nothing that uses accelerate before."
            )

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return bool(self._accelerator.is_main_process)

    def wrap(self, network: nn.Module, sync_bn: bool, unused: bool = False) -> nn.Module:
        """A network that averages gradients over the processes; with one process, itself.

        Args:
            network: On this process's device.
            sync_bn: Take BatchNorm statistics over all processes; on GPUs alone.
            unused: Some parameters may be without gradient, because no loss takes the output they lead to.
        """
        if self.count == 1:
            return network
        if sync_bn and self.device.type == "cuda":
            network = convert_sync_batchnorm(network)  # timm's keeps the activations of its own BatchNorms
        self._parallel.find_unused_parameters = unused
        wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def share(self, loader: DataLoader[Any]) -> Iterable[Any]:
        """A loader of this process's part of every batch, on the device.

        Raises:
            RecipeError: If the batch cannot be shared out evenly.
        """
        if loader.batch_size and loader.batch_size % self.count:
            raise RecipeError(f"batch_size {loader.batch_size} must be a multiple of the {self.count} processes.")
        shared: Iterable[Any] = self._accelerator.prepare_data_loader(loader)
        return shared

    def gather(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Every process's rows of each tensor, in the order of the ranks; gradients flow back."""
        if self.count == 1:
            return dict(tensors)
        # Sorted: every process must exchange the same tensors in the same order.
        return {key: _AllGather.apply(tensors[key]) for key in sorted(tensors)}

    def broadcast(self, value: Any) -> Any:
        """The main process's value."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def say(self, message: str) -> None:
        """Print to standard error, once for all processes; a run goes on where nobody reads it any more."""
        if self.is_main and sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(message, file=sys.stderr, flush=True)

    def wait(self) -> None:
        """Wait until every process is here."""
        self._accelerator.wait_for_everyone()
