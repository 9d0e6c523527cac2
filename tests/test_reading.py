"""Given sentences, read by a decoder."""

import pytest
import torch

from captioner.captioner import special_ids
from captioner.reading import read, sentence_log_probs
from captioner.vocabulary import Vocabulary

from .drawing import WORDS, tiny_model

SPECIAL = special_ids(Vocabulary(WORDS))
GRID = torch.randn(1, 512, 3, 3)
# With beginnings in common, one that is another's beginning, one twice, and an empty one.
SENTENCES = [[4, 5, 6, 7], [4, 5, 8], [4, 5], [9], [4, 5], []]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_beginnings_in_common_change_nothing(cell):
    decoder = tiny_model(cell).decoder
    together = sentence_log_probs(decoder, GRID, SENTENCES, SPECIAL)
    for sentence, total in zip(SENTENCES, together, strict=True):
        places = read(decoder, GRID, sentence, SPECIAL).log_probs
        assert places.shape == (len(sentence) + 1, len(WORDS))
        alone = sum(place[word].item() for place, word in zip(places, [*sentence, SPECIAL.end], strict=True))
        assert total == pytest.approx(alone, abs=1e-4)


@torch.inference_mode()
def test_reading_is_teacher_forcing():
    decoder, sentence = tiny_model().decoder, [4, 5, 6]
    hidden, _ = decoder(GRID, torch.tensor([[[SPECIAL.start, *sentence]]]))
    forbidden = torch.tensor(SPECIAL.forbidden)
    expected = decoder.predict(hidden[0, 0]).index_fill(1, forbidden, -torch.inf).log_softmax(-1)
    assert torch.allclose(read(decoder, GRID, sentence, SPECIAL).log_probs, expected, atol=1e-5)


def test_no_sentence_at_all_is_no_error():
    assert sentence_log_probs(tiny_model().decoder, GRID, [], SPECIAL) == []
