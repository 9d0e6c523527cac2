"""What `speed.py` has measured, as tables in Markdown, and the aims that they meet or miss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import torch

from .cold_start import LIBRARY, PHOTOGRAPH, TORCH, UNWANTED, Start
from .counting import Counts, Weights, Work
from .machine import Machine
from .timing import ratio

BATCHES = (1, 8)
DEFAULT = "the default search"
# How many times as long as the encoder alone, encoder and beam 3 may take, by precision and batch size.
MOST_OF_ENCODER = {("fp32", 1): 1.4, ("fp32", 8): 1.25, ("bf16", 1): 1.8, ("bf16", 8): 1.5}
# How many times as fast as the reference decoder a search with beam 3 is to be, by batch size.
LEAST_OF_REFERENCE = {1: 3.0, 8: 8.0}
# How many times as fast as fp32 bf16 is to be at batch 8, by what the processor has; the first that it has counts.
LEAST_OF_BF16 = {"AMX": 2.0, "AVX-512 BF16": 1.4}
# Seconds that captioning a photograph may take more than importing torch, each in a process of its own.
MOST_OF_START = 1.2


class Case(NamedTuple):
    """Something that is timed.

    `part`: "encoder" alone, "search" alone, "both", or "reference", which searches alone. `search`: by name; none of
    the encoder.
    """

    precision: str
    batch: int
    part: str
    search: str = ""


@dataclass(frozen=True)
class Measurements:
    """All that a run has found.

    Attributes:
        photographs: how many were captioned.
        seconds: for a photograph, in each round, by case.
        counts: what the model has to do.
        weights: what it has to read, by precision.
        work: what a search with beam 3 did for all photographs, by batch size.
        machine: where it ran.
        start: of processes.
        same_as_reference: how many captions the reference decoder has found too, by search.
        same_as_fp32: how many captions are the same in bf16, by search; empty without bf16.
    """

    photographs: int
    seconds: dict[Case, list[float]]
    counts: Counts
    weights: dict[str, Weights]
    work: dict[int, Work]
    machine: Machine
    start: Start
    same_as_reference: dict[str, int]
    same_as_fp32: dict[str, int]


class Aim(NamedTuple):
    """Something to reach, and what was: whether it holds is unknown where it cannot be measured."""

    what: str
    wanted: str
    measured: str
    holds: bool | None


def report(found: Measurements) -> str:
    """The whole report."""
    parts = (machine_lines(found), speed_tables(found), limit_table(found), start_table(found.start), aim_table(found))
    return "\n\n".join(parts)


def machine_lines(found: Measurements) -> str:
    """What the figures were measured on."""
    machine = found.machine
    instructions = ", ".join(machine.instructions) or "no instruction set that counts here"
    rounds = len(next(iter(found.seconds.values())))
    return (
        f"{machine.processor}; {instructions}; {machine.cores} cores, {machine.threads} threads; "
        f"torch {torch.__version__}. Medians of {rounds} rounds over {found.photographs} photographs."
    )


def speed_tables(found: Measurements) -> str:
    """Milliseconds for a photograph: encoder and search together, then the search alone, then captions compared."""
    searches = list(dict.fromkeys(case.search for case in found.seconds if case.part == "both"))
    kinds = list(dict.fromkeys((case.precision, case.batch) for case in found.seconds if case.part == "both"))
    together, alone = [], []
    for kind in kinds:
        cells = [f"{kind[0]}, {batch_name(kind[1])}", milliseconds(found, Case(*kind, "encoder"))]
        together.append([*cells, *(milliseconds(found, Case(*kind, "both", search)) for search in searches)])
        alone.append([cells[0], *(milliseconds(found, Case(*kind, "search", search)) for search in searches)])
    references = [milliseconds(found, Case("fp32", 1, "reference", search)) for search in searches]
    alone.append(["reference decoder, fp32, one at a time", *references])
    return "\n\n".join(
        (
            "Milliseconds for a photograph, encoder and search together:",
            table(["", "encoder alone", *(f"with {search}" for search in searches)], together),
            "The search alone:",
            table(["", *searches], alone),
            " ".join(comparisons(found)),
        )
    )


def batch_name(batch: int) -> str:
    """How a table calls a batch size."""
    return "alone" if batch == 1 else f"in a batch of {batch}"


def milliseconds(found: Measurements, case: Case) -> str:
    """The median of a case, if it was timed."""
    return f"{1000 * median(found.seconds[case]):.1f}" if case in found.seconds else ""


def comparisons(found: Measurements) -> Iterable[str]:
    """Sentences on how many captions agree."""
    told = "Captions that the reference decoder writes as well", "Captions that are the same in bf16 as in fp32"
    for what, same in zip(told, (found.same_as_reference, found.same_as_fp32), strict=True):
        if same:
            counts = ", ".join(f"{count} with {search}" for search, count in same.items())
            yield f"{what}, of {found.photographs}: {counts}."


def limit_table(found: Measurements) -> str:
    """Operations, bytes and what the machine could do at most, beside what was reached."""
    counts, rows = found.counts, []
    for precision, weights in found.weights.items():
        for batch in BATCHES:
            case = Case(precision, batch, "encoder")
            rows.append(limit_row("encoder", found, case, counts.encoder, weights.encoder / batch))
        for batch, work in found.work.items():
            case = Case(precision, batch, "search", "beam 3")
            multiply_adds = counts.start + counts.step * work.rows / found.photographs
            rows.append(
                limit_row("search, beam 3", found, case, multiply_adds, weights.step * work.steps / found.photographs)
            )
    heading = ["", "ms", "GFLOP", "MB of weights", "GFLOP/s", "GB/s", "least ms", "share of the limit"]
    told = "For a photograph, and the least time in which the machine could do the operations and read the weights:"
    return "\n\n".join((limits(found), told, table(heading, rows)))


def limits(found: Measurements) -> str:
    """What was counted, and what the machine can do at most."""
    counts, machine = found.counts, found.machine
    sizes = ", ".join(f"{weights.step / 1e6:.1f} MB in {precision}" for precision, weights in found.weights.items())
    peaks = ", ".join(f"{peak:.0f} GFLOP/s in {precision}" for precision, peak in machine.peaks.items())
    caches = ", ".join(f"{speed:.0f} GB/s in {precision}" for precision, speed in machine.caches.items())
    return (
        f"Counted: {counts.encoder / 1e9:.2f} billion multiply-adds in the encoder for a photograph; in the decoder "
        f"{counts.start / 1e6:.1f} million before the first word, and {counts.step / 1e6:.2f} million for each word of "
        f"each beam. At each word all beams of a batch read the weights of a step once: {sizes}. Measured limits: "
        f"{peaks} (a product of large matrices); {machine.memory:.0f} GB/s from memory; from a tensor as large as the "
        f"weights of a step, {caches}."
    )


def limit_row(name: str, found: Measurements, case: Case, multiply_adds: float, read: float) -> list[str]:
    """A row of `limit_table`: multiply-adds and bytes of weights read for a photograph, in a case."""
    machine, seconds = found.machine, median(found.seconds[case])
    # Between two steps a decoder's weights may stay in the caches; between two photographs an encoder's hardly do.
    bandwidth = machine.memory if case.part == "encoder" else machine.caches[case.precision]
    operations = 2 * multiply_adds
    # The decoder computes in float32, whatever the encoder does.
    peak = machine.peaks[case.precision if case.part == "encoder" else "fp32"]
    least = max(operations / peak, read / bandwidth) / 1e9
    return [
        f"{name}, {case.precision}, {batch_name(case.batch)}",
        f"{1000 * seconds:.1f}",
        f"{operations / 1e9:.2f}",
        f"{read / 1e6:.0f}",
        f"{operations / 1e9 / seconds:.0f}",
        f"{read / 1e9 / seconds:.1f}",
        f"{1000 * least:.1f}",
        f"{100 * least / seconds:.0f} %",
    ]


def start_table(start: Start) -> str:
    """Seconds until something has started, and peaks of memory."""
    rows = [[name, f"{median(seconds):.2f}"] for name, seconds in start.seconds.items()]
    if start.page:
        rows.append(["the page: from starting its server to the first caption", f"{median(start.page.first):.2f}"])
        rows.append(["the page: from a later upload to its caption", f"{median(start.page.later):.2f}"])
    memory = [[name, f"{megabytes:.0f}"] for name, megabytes in start.memory.items()]
    return "\n\n".join((table(["", "seconds"], rows), table(["", "peak memory, MB"], memory)))


def aim_table(found: Measurements) -> str:
    """The aims of the project for two cores."""
    words = {True: "holds", False: "**does not hold**", None: "not measured"}
    aims = [*bf16_aims(found), *encoder_aims(found), *reference_aims(found), *start_aims(found.start)]
    return table(["aim", "wanted", "measured", ""], [[*aim[:3], words[aim.holds]] for aim in aims])


def bf16_aims(found: Measurements) -> Iterable[Aim]:
    """How much faster bf16 is, where the processor has instructions for it."""
    wanted = next((least for name, least in LEAST_OF_BF16.items() if name in found.machine.instructions), None)
    for search in ("beam 3", DEFAULT):
        what = f"encoder and {search}, bf16 against fp32, in a batch of 8"
        fast = found.seconds.get(Case("bf16", 8, "both", search))
        if wanted is None or fast is None:
            yield Aim(what, "2 times as fast with AMX, 1.4 with AVX-512 BF16", "", None)
        else:
            yield at_least(what, wanted, ratio(found.seconds[Case("fp32", 8, "both", search)], fast))


def encoder_aims(found: Measurements) -> Iterable[Aim]:
    """How much the search adds to the encoder."""
    for (precision, batch), most in MOST_OF_ENCODER.items():
        what = f"encoder and beam 3 against the encoder alone, {precision}, {batch_name(batch)}"
        both = found.seconds.get(Case(precision, batch, "both", "beam 3"))
        if both is None:
            yield Aim(what, f"at most {most:g} times", "", None)
        else:
            value = ratio(both, found.seconds[Case(precision, batch, "encoder")])
            yield Aim(what, f"at most {most:g} times", f"{value:.2f} times", value <= most)


def reference_aims(found: Measurements) -> Iterable[Aim]:
    """How much faster the search is than the reference decoder, and whether it says the same."""
    reference = found.seconds[Case("fp32", 1, "reference", "beam 3")]
    for batch, least in LEAST_OF_REFERENCE.items():
        value = ratio(reference, found.seconds[Case("fp32", batch, "search", "beam 3")])
        yield at_least(f"search with beam 3 against the reference decoder, {batch_name(batch)}", least, value)
    fewest = min(found.same_as_reference.values())
    yield Aim(
        "captions the same as the reference decoder's", "all", f"{fewest} of {found.photographs}",
        fewest == found.photographs,
    )  # fmt: skip


def start_aims(start: Start) -> Iterable[Aim]:
    """How little is loaded before the first caption."""
    pairs = zip(start.seconds[PHOTOGRAPH], start.seconds[TORCH], strict=True)
    more = median(photograph - torch_alone for photograph, torch_alone in pairs)
    yield Aim(
        f"{PHOTOGRAPH} against {TORCH}", f"at most {MOST_OF_START:g} s more", f"{more:.2f} s more",
        more <= MOST_OF_START,
    )  # fmt: skip
    loaded = ", ".join(start.unwanted) or "none"
    yield Aim(f"{LIBRARY} loads none of {', '.join(UNWANTED)}", "none", loaded, not start.unwanted)


def at_least(what: str, least: float, value: float) -> Aim:
    """An aim to be so many times as fast."""
    return Aim(what, f"at least {least:g} times as fast", f"{value:.2f} times", value >= least)


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = ["---"] * len(heading)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *rows))
