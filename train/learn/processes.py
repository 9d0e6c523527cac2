"""The processes of a run: one, or as many as `torchrun` started. What they say to one another is here."""

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from captioner.captioner import choose_device

# Rank 0 scores alone while the others wait, and a first epoch may encode unevenly.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """This process's place among all of them.

    Attributes:
        rank: its number, from 0; rank 0 alone prints and writes.
        count: how many there are.
        device: where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    @classmethod
    def join(cls, device: str = "auto") -> "Processes":
        """Meet the others, if `torchrun` started any: over nccl with GPUs, one for each process, else over gloo."""
        count = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
        if count == 1:
            return cls(0, 1, choose_device(device))
        if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        chosen = choose_device(device)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size(), chosen)

    @property
    def first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    def say(self, text: str) -> None:
        """Print once, not once for each process."""
        if self.first:
            print(text, flush=True)

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """This process's part of something that all of them hold."""
        return items[self.rank :: self.count]

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the processes, the same in all of them."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in the order of ranks."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def broadcast_buffers(self, module: nn.Module) -> None:
        """Give every process rank 0's buffers."""
        if self.count > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def synchronised(self, module: nn.Module) -> nn.Module:
        """The module, with gradients that backward averages over the processes."""
        return module if self.count == 1 else DistributedDataParallel(module)

    def leave(self) -> None:
        """Part from the others, once all of them are ready to."""
        if self.count > 1 and distributed.is_initialized():
            distributed.barrier()
            # What still holds the group keeps its threads alive, and those crash an interpreter that ends before them.
            gc.collect()
            distributed.destroy_process_group()
