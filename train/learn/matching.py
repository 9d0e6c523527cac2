"""Training the matcher (`captioner/matcher.py`) of a captioner, whose other weights stay as they are.

It learns two things at once: to tell a photograph's captions from those of the other photographs of a batch, in both
directions (Radford et al. 2021, arXiv:2103.00020), and to prefer, of the search's own sentences about it, those that
are worth more, which are the ones it will have to choose among (listwise, Cao et al. 2007).

Shapes: B photographs, K sentences of each, T words.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from captioner import Captioner
from captioner.checkpoint import (
    Checkpoint,
    digest,
    load_checkpoint,
    model_tensors,
    save_checkpoint,
    to_half,
)
from captioner.config import MatcherConfig
from captioner.errors import SettingError
from captioner.interrupt import polite_interrupts
from captioner.matcher import Matcher
from captioner.vocabulary import tokenize

from ..data.captions import Example
from ..data.grids import FolderCache, cached_grids
from .config import MatchingConfig
from .finish import MATCHER, unfinished
from .learner import encoder_digest, optimizer_tensors, restore_optimizer
from .sentences import Sentence, find_sentences
from .steps import share_of_rate

# Beyond this many words a caption tells little more.
MOST_WORDS = 24


class Matching:
    """A training of a matcher, in a folder with which it can be gone on with.

    Args:
        checkpoint: the captioner.
        examples: its training photographs and captions.
        config: the recipe.
        output: the folder.
        device: where to train.
        resume: go on where the run in the folder stopped.

    Raises:
        SettingError: if there is a run in the folder that is not to be gone on with, or was of another recipe.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        examples: Sequence[Example],
        config: MatchingConfig,
        output: Path,
        device: str = "auto",
        resume: bool = False,
    ):
        self.config, self.output, self.examples = config, output, list(examples)
        last = output / "last.safetensors"
        if last.exists() and not resume:
            raise SettingError(f"{output} holds a run already. Go on with it by --resume, or choose another --output.")
        saved = load_checkpoint(last) if last.exists() else None
        checkpoint = unfinished(checkpoint)
        self._origin = origin_of(checkpoint, self.examples)
        if saved and (saved.progress["settings"] != asdict(config) or saved.progress["origin"] != self._origin):
            raise SettingError(
                f"The run in {output} had another recipe, model or data. Give the same ones, or another --output."
            )
        self._checkpoint = saved or with_matcher(checkpoint, config)
        self._captioner = Captioner(self._checkpoint.build(), self._checkpoint.vocabulary, device)
        self._model, self._device = self._captioner.model, self._captioner.device
        self._model.requires_grad_(False)
        self._matcher = self._model.matcher.requires_grad_(True)
        self._optimizer = torch.optim.AdamW(
            self._matcher.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch = 0
        if saved:
            self.epoch = saved.progress["epoch"]
            restore_optimizer(self._optimizer, self._matcher, saved.progress_tensors)
        self._cache = FolderCache(output / "grids", config.cache_gigabytes, encoder_digest(self._model.encoder))
        words = self._checkpoint.vocabulary
        self._captions = [
            [words.encode(tokenize(text))[:MOST_WORDS] for text in each.captions] for each in self.examples
        ]

    def train(self, say: Callable[[str], None] = print) -> Checkpoint:
        """Train to the end; the captioner with its matcher, rounded as it is stored.

        Raises:
            KeyboardInterrupt: after an interruption; finished epochs are saved, and so are grids and sentences.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        with polite_interrupts() as interrupted:
            sentences = find_sentences(
                self.examples, self._grids, self._model.decoder, self._checkpoint.vocabulary,
                self.output / "sentences.jsonl", self._origin, self.config.beam_size, interrupted,
            )  # fmt: skip
            scale = mean_reward(sentences) * self.config.temperature
            while self.epoch < self.config.epochs and not interrupted():
                loss = self._train_one_epoch(sentences, scale, interrupted)
                if loss is None:
                    break
                self.epoch += 1
                self._save()
                say(f"epoch {self.epoch}  loss {loss:.3f}")
            if interrupted():
                say(f"\nInterrupted. The same command with --resume goes on from {self.output}.")
                raise KeyboardInterrupt
        return replace(self._checkpoint, tensors=to_half(model_tensors(self._model)), progress={}, progress_tensors={})

    def _train_one_epoch(
        self, sentences: Sequence[Sequence[Sentence]], scale: float, stop: Callable[[], bool]
    ) -> float | None:
        """Go through all photographs; the mean loss, or None if it was told to stop."""
        size, chance = self.config.batch_size, random.Random(f"{self.config.seed} {self.epoch}")
        torch.manual_seed(hash((self.config.seed, self.epoch)))
        order = list(range(len(self.examples)))
        chance.shuffle(order)
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        self._matcher.train()
        total = 0.0
        for number, batch in enumerate(tqdm(batches, f"epoch {self.epoch + 1}/{self.config.epochs}", unit="batch")):
            self._set_rate(self.epoch * len(batches) + number, self.config.epochs * len(batches))
            seen = self._matcher.look(self._grids([self.examples[index] for index in batch]))
            captions = [chance.choice(self._captions[index]) for index in batch]
            drawn = [
                chance.sample(sentences[index], min(self.config.sentences, len(sentences[index]))) for index in batch
            ]
            loss = self._contrast(seen, captions) + self._preference(seen, drawn, scale)
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._matcher.parameters(), 2.0)
            self._optimizer.step()
            total += loss.item()
            if stop():
                return None
        self._matcher.eval()
        return total / len(batches)

    def _contrast(self, seen: Tensor, captions: Sequence[Sequence[int]]) -> Tensor:
        """Which caption belongs to a photograph, and which photograph to a caption: cross-entropy within the batch."""
        read, is_word = self._matcher.read(captions, self._model.decoder.embedding.weight)
        scores = self._matcher.compare(seen, read[None], is_word[None])  # (B, B)
        own = torch.arange(len(scores), device=scores.device)
        return functional.cross_entropy(scores, own) + functional.cross_entropy(scores.t(), own)

    def _preference(self, seen: Tensor, drawn: Sequence[Sequence[Sentence]], scale: float) -> Tensor:
        """Which of a photograph's own sentences is worth how much: cross-entropy with the rewards' distribution."""
        sentences = [[sentence.ids for sentence in own] for own in drawn]
        scores = self._matcher.compare_own(seen, sentences, self._model.decoder.embedding.weight)  # (B, K)
        worth = [torch.tensor([sentence.reward for sentence in own]) for own in drawn]
        rewards = nn.utils.rnn.pad_sequence(worth, batch_first=True, padding_value=-math.inf).to(scores.device)
        scores = scores.masked_fill(rewards.isinf(), -1e4)
        return -((rewards / scale).softmax(1) * scores.log_softmax(1)).sum(1).mean()

    def _grids(self, examples: Sequence[Example]) -> Tensor:
        """The grids (B, C, H, W) of photographs, each encoded once."""
        photos = [example.path for example in examples]
        return cached_grids(self._cache, self._captioner.encode, photos).to(self._device)

    def _set_rate(self, step: int, steps: int) -> None:
        """Warm up, then half a cosine."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.config.learning_rate * share_of_rate(step, steps, self.config.warmup_steps)

    def _save(self) -> None:
        """Write what is needed to go on."""
        tensors = optimizer_tensors(self._optimizer, self._matcher)
        progress = {"settings": asdict(self.config), "origin": self._origin, "epoch": self.epoch}
        state = {"tensors": model_tensors(self._model), "progress": progress, "progress_tensors": tensors}
        save_checkpoint(replace(self._checkpoint, **state), self.output / "last.safetensors")


def with_matcher(checkpoint: Checkpoint, config: MatchingConfig) -> Checkpoint:
    """The same captioner with a matcher that has learnt nothing yet."""
    torch.manual_seed(config.seed)
    decoder, chosen = checkpoint.config.decoder, MatcherConfig(config.width, config.dropout)
    new = Matcher(chosen, decoder.grid_channels, decoder.embedding_width)
    tensors = {f"{MATCHER}{name}": value.detach() for name, value in new.named_parameters()}
    return replace(checkpoint, config=replace(checkpoint.config, matcher=chosen), tensors=checkpoint.tensors | tensors)


def origin_of(checkpoint: Checkpoint, examples: Sequence[Example]) -> str:
    """What identifies a model, photographs and their captions; the size of photographs is part of the model."""
    seen = hashlib.sha256(digest(checkpoint.tensors).encode())
    seen.update(json.dumps(checkpoint.config.to_dict()).encode())
    for example in examples:
        seen.update(json.dumps([str(example.path), *example.captions]).encode())
    return seen.hexdigest()


def mean_reward(sentences: Sequence[Sequence[Sentence]]) -> float:
    """Of all sentences; above 0, so that one may divide by it."""
    rewards = [sentence.reward for own in sentences for sentence in own]
    return max(sum(rewards) / max(len(rewards), 1), 1e-6)
