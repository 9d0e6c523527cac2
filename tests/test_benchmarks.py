"""What the benchmark of speed rests on: its reference decoder, its counting, and its report."""

import pytest
import torch

from benchmarks.cold_start import LIBRARY, PHOTOGRAPH, TORCH, Page, Start
from benchmarks.counting import Counts, Weights, Work, count, count_work, weigh
from benchmarks.machine import Machine, name_processor
from benchmarks.reference_decoder import ReferenceDecoder
from benchmarks.speed import find_photos, parse
from benchmarks.speed_report import BATCHES, DEFAULT, Case, Measurements, report
from benchmarks.timing import in_turn, ratio, run_python
from captioner import Captioner, SearchConfig, SettingError
from captioner.captioner import special_ids
from captioner.search import search
from captioner.vocabulary import Vocabulary
from train.data.drawn import COLOURS, SHAPES, draw

from .drawing import WORDS, tiny_captioner, tiny_model

SETTINGS = [
    {"beam_size": 1},
    {"beam_size": 3},
    {"beam_size": 5},
    {"beam_size": 3, "length_penalty": 0.0, "block_ngram": 1, "maximum_length": 30},
    {"beam_size": 5, "length_penalty": 2.0, "block_ngram": 0, "minimum_length": 1, "maximum_length": 8},
    {"beam_size": 3, "block_ngram": 1, "minimum_length": 28},  # until there are no words left
]


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    """A small model that has opinions: untrained weights, made larger so that its sentences differ, and end."""
    model = tiny_model(tied_embeddings=False)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight *= 3
        model.decoder.words.bias[Vocabulary(WORDS).end] += 1.5
    return Captioner(model, Vocabulary(WORDS), "cpu")


@pytest.fixture(scope="module")
def grids(captioner) -> torch.Tensor:
    """Features of twelve drawn pictures."""
    return captioner.encode([draw(colour, shape) for colour in COLOURS for shape in SHAPES])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_reference_decoder_finds_what_the_search_finds(captioner, grids, settings):
    config, special = SearchConfig(**settings), special_ids(captioner.vocabulary)
    reference = ReferenceDecoder(captioner.model.decoder, special)
    expected = search(captioner.model.decoder, grids, special, config)
    assert len({tuple(hypotheses[0].ids) for hypotheses in expected}) > 1
    for grid, hypotheses in zip(grids, expected, strict=True):
        sentences = reference.write(grid, config)
        assert [sentence.ids for sentence in sentences] == [hypothesis.ids for hypothesis in hypotheses]
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert [sentence.score for sentence in sentences] == pytest.approx(scores, abs=1e-4)


def test_the_reference_decoder_refuses_other_kinds():
    other = tiny_captioner(cell="gru")
    with pytest.raises(SettingError, match="gru with additive"):
        ReferenceDecoder(other.model.decoder, special_ids(other.vocabulary))


def test_counting(captioner, grids):
    counts = count(captioner.model)
    cells, channels, width, attention = grids[0, 0].numel(), 512, 24, 12
    words = len(captioner.vocabulary)
    assert counts.start == cells * (channels * width + width * attention) + width * 4 * width
    recurrent = 4 * width * (width + width) + 4 * width * (2 * width + width)
    products = recurrent + width * attention + width * words
    assert counts.step == products + cells * (attention + width)
    # its first convolution alone: 64 filters of 3 x 3 x 3 over 31 x 31 places
    assert counts.encoder > 64 * 27 * 31 * 31

    step = 4 * (products + 2 * 4 * width + attention + attention + words)
    numbers = sum(weight.numel() for weight in captioner.model.encoder.parameters())
    for precision, size in (("fp32", 4), ("bf16", 2)):
        ready = Captioner(captioner.model, captioner.vocabulary, "cpu", precision=precision)
        assert weigh(ready._encoder, ready._decoder) == Weights(size * numbers, step)

    config = SearchConfig(beam_size=3, minimum_length=4, maximum_length=4)
    work = count_work(captioner.model.decoder, grids.split(8), special_ids(captioner.vocabulary), config)
    # of each photograph one sentence is begun, and three are gone on with
    assert work == Work(steps=2 * 5, rows=(8 + 4) * (1 + 3 * 4))


def test_things_take_turns_and_are_compared_round_by_round():
    calls = []
    seconds = in_turn(2, {name: lambda name=name: calls.append(name) for name in ("a", "b")})
    assert calls == ["a", "b", "a", "b"]
    assert [len(values) for values in seconds.values()] == [2, 2]
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 2.0]) == 2


def test_processes_are_measured_by_themselves():
    ballast = b"x" * (200 * 2**20)  # which a process must not count as its own because its parent has it
    process = run_python("-c", "print('ran')")
    assert process.output == "ran\n"
    assert 0 < process.seconds < 60
    assert 2 < process.memory < 100 < len(ballast)
    with pytest.raises(OSError, match="status 3"):
        run_python("-c", "raise SystemExit(3)")


def test_the_processor_is_named():
    information = "processor: 0\nmodel name\t: A B\ncpu family\t: 6\nmodel\t\t: 7\n\nmodel name\t: C\nmodel\t: 8\n"
    assert name_processor(information) == "A B (cpu family 6, model 7)"
    assert name_processor("model name : A B") == "A B"


def test_photographs_fill_a_batch(pictures, tmp_path):
    assert find_photos([str(path) for path in pictures[:3]]) == pictures[:3] * 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match="no photograph"):
        find_photos([str(tmp_path / "empty")])


def test_fp32_is_always_measured():
    with pytest.raises(SystemExit):
        parse(["--precisions", "bf16"])


def made_up(precisions: tuple[str, ...], instructions: tuple[str, ...]) -> Measurements:
    """Measurements in which the encoder takes 40 ms, a search 8, the reference decoder 100, and bf16 half of it."""
    seconds = {Case("fp32", 1, "reference", "beam 3"): [0.1] * 3}
    for precision in precisions:
        factor = {"fp32": 1.0, "bf16": 0.5}[precision]
        for batch in BATCHES:
            seconds[Case(precision, batch, "encoder")] = [0.04 * factor] * 3
            for name in ("beam 3", DEFAULT):
                seconds[Case(precision, batch, "search", name)] = [0.008 * factor] * 3
                seconds[Case(precision, batch, "both", name)] = [0.048 * factor] * 3
    start = Start(
        seconds={TORCH: [1.0, 5.0, 1.0], LIBRARY: [1.5] * 3, PHOTOGRAPH: [2.1, 6.1, 9.0]},
        memory={"one photograph, fp32": 512.3},
        unwanted=("nltk",),
        page=Page([4.0], [0.25]),
    )
    limits = {"fp32": 200.0, "bf16": 400.0}
    return Measurements(
        photographs=8,
        seconds=seconds,
        counts=Counts(encoder=10**9, start=10**7, step=10**6),
        weights={name: Weights(4 * 10**6, 4 * 10**6) for name in precisions},
        work={1: Work(steps=80, rows=240), 8: Work(steps=10, rows=240)},
        machine=Machine("A B", instructions, 2, 2, {name: limits[name] for name in precisions}, 10.0, limits),
        start=start,
        same_as_reference={"beam 3": 8},
        same_as_fp32={"beam 3": 7} if "bf16" in precisions else {},
    )


def verdicts(text: str) -> dict[str, list[str]]:
    """Rows of all tables, by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {name: cells for name, *cells in rows}


def test_a_report():
    text = report(made_up(("fp32", "bf16"), ("AVX-512 BF16", "AMX")))
    rows = verdicts(text)
    assert "A B; AVX-512 BF16, AMX; 2 cores, 2 threads" in text
    assert rows["bf16, in a batch of 8"] == ["4.0", "4.0"]  # the later table, of the search alone
    assert rows["encoder, fp32, alone"] == ["40.0", "2.00", "4", "50", "0.1", "10.0", "25 %"]
    # 10 million multiply-adds before the first word and 30 for its words; 40 MB of weights read in ten steps
    assert rows["search, beam 3, fp32, alone"] == ["8.0", "0.08", "40", "10", "5.0", "0.4", "5 %"]
    # in half the time, but in float32 too
    assert rows["search, beam 3, bf16, alone"] == ["4.0", "0.08", "40", "20", "10.0", "0.4", "10 %"]
    assert rows["encoder and beam 3 against the encoder alone, fp32, alone"][1:] == ["1.20 times", "holds"]
    assert rows["encoder and beam 3, bf16 against fp32, in a batch of 8"][1:] == ["2.00 times", "holds"]
    assert rows["search with beam 3 against the reference decoder, alone"][1:] == ["12.50 times", "holds"]
    assert rows[f"{PHOTOGRAPH} against {TORCH}"][1:] == ["1.10 s more", "holds"]
    assert rows["`import captioner` loads none of torchvision, streamlit, matplotlib, nltk"][1:] == [
        "nltk",
        "**does not hold**",
    ]
    assert "the same in bf16 as in fp32, of 8: 7 with beam 3." in text


def test_a_report_where_something_misses_its_aim():
    slow = made_up(("fp32",), ())
    slow.seconds[Case("fp32", 8, "both", "beam 3")][:] = [0.06] * 3
    slow.same_as_reference["beam 3"] = 7
    rows = verdicts(report(slow))
    assert rows["encoder and beam 3 against the encoder alone, fp32, in a batch of 8"][2] == "**does not hold**"
    assert rows["captions the same as the reference decoder's"][1:] == ["7 of 8", "**does not hold**"]
    assert rows["encoder and beam 3 against the encoder alone, bf16, alone"][1:] == ["", "not measured"]
    assert rows["encoder and beam 3, bf16 against fp32, in a batch of 8"][2] == "not measured"
