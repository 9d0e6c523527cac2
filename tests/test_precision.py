"""Half precision: where it is taken, and what it may change."""

import pytest
import torch

from captioner import Captioner, SettingError
from captioner.precision import choose_precision, half_is_faster, lowered
from captioner.vocabulary import Vocabulary
from train.data.drawn import draw

from .drawing import WORDS, tiny_model

CPU = torch.device("cpu")
# Of the captions of the examples, with the default search, these may be other than in float32.
MAY_CHANGE = 2


@pytest.mark.parametrize(
    ("capabilities", "faster"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx512_f": True, "avx512_bf16": False, "cpu_name": "AMX 9000"}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_the_processor_is_asked_what_it_can(capabilities, faster, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert half_is_faster(CPU) == faster
    assert choose_precision("auto", CPU) == (torch.bfloat16 if faster else torch.float32)
    assert choose_precision("fp32", CPU) == torch.float32
    assert choose_precision("bf16", CPU) == torch.bfloat16


def test_a_gpu_without_bfloat16_takes_float16(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_precision("auto", torch.device("cuda")) == torch.float16
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    assert choose_precision("auto", torch.device("cuda")) == torch.bfloat16


def test_an_unknown_precision_is_named():
    with pytest.raises(SettingError, match=r"Unknown precision 'int4'\. Choose from auto, fp32, bf16"):
        Captioner(tiny_model(), Vocabulary(WORDS), "cpu", precision="int4")


def test_the_model_itself_keeps_its_weights():
    model = tiny_model()
    assert lowered(model.encoder, torch.float32) is model.encoder
    half = lowered(model.encoder, torch.bfloat16)
    assert next(half.graph.parameters()).dtype == torch.bfloat16
    assert half.mean.dtype == torch.float32  # pixels are normalised as ever
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    exact = Captioner(model, Vocabulary(WORDS), "cpu")
    coarse = Captioner(model, Vocabulary(WORDS), "cpu", precision="bf16")
    assert exact.identity == coarse.identity
    assert (exact.precision, coarse.precision) == ("fp32", "bf16")


def test_what_comes_out_is_float32_and_the_same_each_time():
    captioner = Captioner(tiny_model(), Vocabulary(WORDS), "cpu", precision="bf16")
    grid = captioner.encode([draw("red", "circle"), draw("blue", "square")])
    assert grid.dtype == torch.float32
    one, other = (captioner.decode(grid) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert first.log_probs == second.log_probs
        assert first.attention.dtype == "float32"
        assert (first.attention == second.attention).all()


@pytest.fixture(scope="module")
def coarse() -> Captioner:
    """The bundled model in half precision, on any processor."""
    return Captioner.load(device="cpu", precision="bf16")


def test_half_precision_changes_few_captions_of_the_examples(bundled, coarse, examples):
    exact, half = bundled.caption_batch(examples), coarse.caption_batch(examples)
    changed = [(one.text, other.text) for one, other in zip(exact, half, strict=True) if one.text != other.text]
    assert len(changed) <= MAY_CHANGE, changed
    for one, other in zip(exact, half, strict=True):
        if one.text == other.text:
            assert one.log_prob == pytest.approx(other.log_prob, abs=0.3)
            assert abs(one.attention - other.attention).max() < 0.1
    assert any(one.log_prob != other.log_prob for one, other in zip(exact, half, strict=True))
