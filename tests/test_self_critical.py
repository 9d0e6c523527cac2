"""The reward against the community's scorer, and training by it."""

import pytest
import torch
from pycocoevalcap.cider.cider import Cider

from captioner.captioner import special_ids
from captioner.vocabulary import Vocabulary
from train.judge.cider import END, CiderD
from train.learn.objective import SelfCritical
from train.learn.self_critical import advantages_of, draw_captions, draw_word, rewards_of

from .drawing import WORDS, tiny_model

REFERENCES = [
    ["a dog runs on the white ground", "the dog is on the ground"],
    ["a red circle", "a circle is red", "the red circle is on white"],
    ["a cat", "the cat runs"],
]
DRAWN = ["a dog runs on the ground", "a red square", "the cat runs a cat runs the cat"]
CORPUS = [[text.split() for text in texts] for texts in REFERENCES]


def test_the_reward_equals_the_community_scorer():
    cider = CiderD(CORPUS)
    references = {key: [f"{text} {END}" for text in texts] for key, texts in enumerate(REFERENCES)}
    _, expected = Cider().compute_score(references, {key: [f"{text} {END}"] for key, text in enumerate(DRAWN)})
    for text, humans, score in zip(DRAWN, CORPUS, expected, strict=True):
        found = cider.compare(cider.weigh(text.split()), [cider.weigh(human) for human in humans])
        assert found == pytest.approx(score, abs=1e-9)


def test_an_end_is_rewarded_and_its_absence_is_not():
    vocabulary = Vocabulary(WORDS)
    cider = CiderD(CORPUS)
    ended = vocabulary.encode(["a", "red", "circle"])[1:]
    unended = [*ended[:-1], 0]
    rewards = rewards_of(torch.tensor([[ended, unended]]), [CORPUS[1]], cider, vocabulary)
    assert rewards.shape == (1, 2)
    assert rewards[0, 0] > rewards[0, 1] > 0


def test_what_fits_every_photograph_earns_less_than_what_fits_one():
    vocabulary = Vocabulary(WORDS)
    cider = CiderD(CORPUS)
    ids = torch.tensor([[vocabulary.encode(["on", "white"])[1:]], [vocabulary.encode(["red", "circle"])[1:]]])
    plain = rewards_of(ids, CORPUS[:2], cider, vocabulary)
    less = rewards_of(ids, CORPUS[:2], cider, vocabulary, discrimination=0.5)
    # "on white" fits captions of both photographs, "red circle" in those of one.
    rivals = [cider.compare(cider.weigh(["on", "white"]), [cider.weigh(human) for human in CORPUS[1]]), 0.0]
    rivals[1] = cider.compare(cider.weigh(["red", "circle"]), [cider.weigh(human) for human in CORPUS[0]])
    assert torch.allclose(plain - less, 0.5 * torch.tensor(rivals)[:, None])
    assert rivals[0] > rivals[1]


def test_words_are_drawn_as_often_as_they_are_likely():
    torch.manual_seed(0)
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    drawn = draw_word(probabilities.log().expand(100, 200, 6))
    shares = drawn.flatten().bincount(minlength=6) / drawn.numel()
    assert torch.allclose(shares, probabilities, atol=0.02)
    assert shares[[0, 2, 5]].sum() == 0


def test_drawn_captions_and_their_probabilities_are_the_models_own():
    torch.manual_seed(0)
    decoder = tiny_model().decoder
    special = special_ids(Vocabulary(WORDS))
    grid = torch.randn(3, 512, 2, 2)
    ids, log_probs = draw_captions(decoder, grid, 4, special, maximum_words=6)
    assert ids.shape == log_probs.shape
    assert ids.shape[:2] == (3, 4)
    assert ids.shape[2] <= 7
    assert not torch.isin(ids[:, :, 0], torch.tensor(special.forbidden)).any()
    ends = (ids == special.end).float().cumsum(-1)
    after = (ends > 0) & (ids != special.end)
    assert (ids[after] == 0).all()
    assert (log_probs[after] == 0).all()
    # Teacher forcing over what was drawn gives the same probabilities.
    inputs = torch.cat([torch.full((3, 4, 1), special.start), ids[:, :, :-1]], 2)
    hidden, _ = decoder(grid, inputs)
    scores = decoder.predict(hidden).index_fill(-1, torch.tensor(special.forbidden), -torch.inf).log_softmax(-1)
    expected = scores.gather(-1, ids[..., None].clamp(min=special.end)).squeeze(-1)
    assert torch.allclose(log_probs[~after], expected[~after], atol=1e-5)


def test_advantages_compare_with_the_others():
    rewards = torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    advantages = advantages_of(rewards)
    assert advantages[0].tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])
    assert advantages[1].tolist() == [0, 0, 0]


def test_training_by_reward_raises_it():
    torch.manual_seed(0)
    model = tiny_model()
    vocabulary = Vocabulary(WORDS)
    cider = CiderD(CORPUS)
    objective = SelfCritical(model, vocabulary, cider, captions=8, maximum_words=6)
    grid, references = torch.randn(3, 512, 2, 2), CORPUS
    captions = torch.zeros(3, 1, 1, dtype=torch.int64)
    optimizer = torch.optim.Adam(model.decoder.parameters(), lr=5e-3)
    rewards = []
    for _ in range(150):
        loss, reward = objective(grid, captions, references)
        optimizer.zero_grad()
        (loss / objective.count(captions)).backward()
        optimizer.step()
        rewards.append(reward.item() / objective.count(captions))
    first, last = sum(rewards[:10]) / 10, sum(rewards[-10:]) / 10
    assert objective.count(captions) == 24
    assert last > 3 * first, (first, last)
