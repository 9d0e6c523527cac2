"""The machine that something is measured on: its processor, and how fast it can be at most."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from captioner.threads import processors

from .timing import best_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CPU_INFO = Path("/proc/cpuinfo")
# What decides how fast products of matrices can be, as `torch.cpu.get_capabilities` names it and as people do.
INSTRUCTIONS = {"avx2": "AVX2", "avx512_f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX"}
SIDE = 2048
# Larger than the caches of most processors, of which some have 256 MB.
LARGE = 2**29


@dataclass(frozen=True)
class Machine:
    """What figures are measured on.

    Attributes:
        processor: its name.
        instructions: those of INSTRUCTIONS that it has.
        cores: logical ones that this process may use.
        threads: of torch.
        peaks: the most GFLOP/s by precision, in a product of large matrices.
        memory: the most GB/s, reading a tensor that is larger than the caches.
        caches: the same for a tensor as large as a decoder's weights, by precision, which caches may hold.
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    threads: int
    peaks: dict[str, float]
    memory: float
    caches: dict[str, float]


def measure(weights: Mapping[str, int]) -> Machine:
    """Look at this machine and measure its limits.

    Args:
        weights: the bytes that a decoder's weights take in each precision that counts.
    """
    capabilities = torch.cpu.get_capabilities()
    return Machine(
        processor=name_processor(),
        instructions=tuple(name for flag, name in INSTRUCTIONS.items() if capabilities.get(flag)),
        cores=processors(),
        threads=torch.get_num_threads(),
        peaks={precision: peak(DTYPES[precision]) for precision in weights},
        memory=bandwidth(LARGE),
        caches={precision: bandwidth(size) for precision, size in weights.items()},
    )


def name_processor(information: str | None = None) -> str:
    """The processor's name, with the numbers that tell generations apart where a virtual machine hides the name.

    Args:
        information: what /proc/cpuinfo says; by default this machine's, or nothing where there is none.
    """
    if information is None:
        information = CPU_INFO.read_text() if CPU_INFO.exists() else ""
    first, *_ = information.split("\n\n")
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    name = known.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{number} {known[number]}" for number in ("cpu family", "model") if known.get(number)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def peak(dtype: torch.dtype, side: int = SIDE) -> float:
    """GFLOP/s of a product of two square matrices."""
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
    torch.mm(left, right)
    return 2 * side**3 / best_of(10, lambda: torch.mm(left, right)) / 1e9


def bandwidth(size: int) -> float:
    """GB/s of reading a tensor of so many bytes."""
    tensor = torch.ones(max(1, size // 4))
    repeats = max(1, 2**26 // size)  # so that a run is long enough for the clock
    tensor.sum()

    def read() -> None:
        for _ in range(repeats):
            tensor.sum()

    return 4 * tensor.numel() * repeats / best_of(10, read) / 1e9
