"""Captioner: load once, caption many. The user's world (photographs, sentences) above, tensors below."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from .checkpoint import Checkpoint, load_checkpoint, model_tensors
from .config import SearchConfig, check
from .errors import SettingError
from .model import CaptionModel
from .photo import PhotoSource, open_photo, photo_to_tensor
from .precision import NAMES, choose_precision
from .reading import read, sentence_log_probs
from .rerank import in_order
from .search import Hypothesis, SpecialIds, search
from .vocabulary import Vocabulary, join_words

if TYPE_CHECKING:
    from .export.onnx_folder import Manifest
    from .export.onnx_runtime import OnnxModel

BUNDLED = Path(__file__).parent / "weights" / "captioner.safetensors"


@dataclass(frozen=True)
class Caption:
    """A sentence about a photograph, and where the model looked for each of its T words.

    Attributes:
        text: the sentence, with capital and full stop.
        words: its words, lower case, as the model wrote them ("man", "'s").
        log_probs: natural log-probability of each word.
        attention: float32 (T, H, W), one map over the whole photograph for each word, each summing to 1.
        score: log-probability of the sentence and its end, divided by (T + 1) ** length_penalty.
        log_prob: log-probability of the sentence and its end, not divided.
        alternatives: other captions, distinct as texts, best first.
    """

    text: str
    words: tuple[str, ...]
    log_probs: tuple[float, ...]
    attention: numpy.ndarray
    score: float
    log_prob: float
    alternatives: tuple["Caption", ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What is written to files: caption, score, words and log_probs, rounded to four decimals."""
        return {
            "caption": self.text,
            "score": round(self.score, 4),
            "words": list(self.words),
            "log_probs": [round(value, 4) for value in self.log_probs],
        }


@dataclass(frozen=True)
class Explanation:
    """What went on in the decoder before each of the T words of a caption, and before its end.

    Attributes:
        cell: the kind of both cells, "lstm", "gru" or "rnn".
        candidates: for each of the T + 1 places the likeliest words with their natural log-probabilities, likeliest
            first; the end of the sentence is the word "".
        hidden: float32 (2, T + 2, D), -1..1: the hidden states of the attention cell and of the language cell, at
            first, and after each word was read, of which the first is the sign that a sentence starts.
        gates: float32 (2, T + 1, G), 0..1: how much each gate of both cells let through at each place, the mean over
            all D; in the order of `cells.GATES`, which has G names for a kind of cell.
    """

    cell: str
    candidates: list[list[tuple[str, float]]]
    hidden: numpy.ndarray
    gates: numpy.ndarray


class Captioner:
    """A model ready to caption photographs. It holds no state between calls, so threads may share it.

    Args:
        model: the network, whose weights from then on stay as they are.
        vocabulary: the words it writes.
        device: where it runs.
        checkpoint: where it came from, for `origin` and `scores`.
        precision: "fp32"; "bf16" for an encoder in half precision; or "auto" for what is fastest on the device. What
            comes out is float32 in any case.

    Attributes:
        precision: the one that is used, "fp32", "bf16" or, on a GPU without bfloat16, "fp16".

    Raises:
        SettingError: if the device does not exist, or there is no such precision.
    """

    def __init__(
        self,
        model: "CaptionModel | OnnxModel",
        vocabulary: Vocabulary,
        device: str = "auto",
        checkpoint: "Checkpoint | Manifest | None" = None,
        precision: str = "fp32",
    ):
        self.device = choose_device(device)
        dtype = choose_precision(precision, self.device)
        self.precision = NAMES[dtype]
        self.model = model.to(self.device).eval()
        self._encoder, self._decoder = model.ready(dtype)
        self.vocabulary = vocabulary
        self.config = model.config
        self.origin = checkpoint.origin if checkpoint else {}
        self.scores = checkpoint.scores if checkpoint else {}
        self._identity = ""
        self._special = special_ids(vocabulary)
        repeatable = model.config.repeatable
        self._repeatable = frozenset(vocabulary.encode(repeatable)) if repeatable else frozenset()

    @classmethod
    def load(cls, path: str | os.PathLike | None = None, device: str = "auto", precision: str = "auto") -> "Captioner":
        """Load a checkpoint, or a folder that `python -m captioner export` wrote; without a path, the bundled model.

        Raises:
            CheckpointError: if the file or folder is missing, damaged or foreign.
            SettingError: if the device does not exist, or there is no such precision, or a folder needs a package that
                is missing.
        """
        if path and Path(path).is_dir():
            from .export.onnx_runtime import load_onnx

            model, manifest = load_onnx(Path(path), device, precision)
            captioner = cls(model, manifest.vocabulary, "cpu", manifest)
            captioner._identity = manifest.identity()
            return captioner
        checkpoint = load_checkpoint(path or BUNDLED)
        return cls(checkpoint.build(), checkpoint.vocabulary, device, checkpoint, precision)

    @property
    def identity(self) -> str:
        """SHA-256 of all that captions depend on, but for settings: weights as they are used, sizes and vocabulary."""
        if not self._identity:
            self._identity = Checkpoint(self.config, self.vocabulary, model_tensors(self.model)).identity()
        return self._identity

    def caption(self, photo: PhotoSource, **settings: Any) -> Caption:
        """Caption one photograph: a path, bytes, a binary file object or a PIL image.

        Settings are those of `SearchConfig`, such as `beam_size=5`.

        Raises:
            PhotoError: if the photograph cannot be read.
            SettingError: if a setting is unknown or out of range.
        """
        return self.caption_batch([photo], **settings)[0]

    def caption_batch(self, photos: Sequence[PhotoSource], **settings: Any) -> list[Caption]:
        """Caption several photographs with one encoder pass and one search; see `caption`."""
        SearchConfig.of(settings)  # wrong settings are told before the expensive part
        if isinstance(photos, list | tuple) and not photos:
            return []
        return self.decode(self.encode(photos), **settings)

    def encode(self, photos: Sequence[PhotoSource]) -> Tensor:
        """The expensive part, once: photographs to a grid of features, float32 (B, C, H, W).

        Raises:
            PhotoError: if a photograph cannot be read.
        """
        if isinstance(photos, str | bytes | bytearray | os.PathLike | Image.Image) or hasattr(photos, "read"):
            raise SettingError("encode and caption_batch take a list of photographs; for one, use caption.")
        if not photos:
            raise SettingError("encode was given an empty list of photographs.")
        return self.encode_pixels(torch.stack([self.prepare(open_photo(photo)) for photo in photos]))

    def prepare(self, photo: Image.Image) -> Tensor:
        """A photograph from `open_photo` as the encoder sees it: uint8 (3, S, S), S being the model's image size."""
        return photo_to_tensor(photo, self.config.encoder.image_size)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """As `encode`, of photographs that `prepare` has made ready elsewhere, in other threads for instance.

        Args:
            pixels: uint8 (B, 3, S, S).
        """
        return self._encoder(pixels.to(self.device)).float()

    def decode(self, grid: Tensor, **settings: Any) -> list[Caption]:
        """The cheap part, as often as settings change: a grid (B, C, H, W) to a caption for each photograph.

        Raises:
            SettingError: if a setting is unknown or out of range, or the grid is none of this model's.
        """
        config = SearchConfig.of(settings)
        grid = self._checked(grid)
        found = search(self._decoder, grid, self._special, config)
        if config.rerank and self.config.typical and any(len(hypotheses) > 1 for hypotheses in found):
            found = self._rerank(found, grid, config)
        return [self._to_caption(hypotheses, grid.shape[2:], config.alternatives) for hypotheses in found]

    def explain(self, grid: Tensor, words: Sequence[str], count: int = 5) -> Explanation:
        """How the model comes to each word of a caption, and to its end, having written so far what stands before.

        Args:
            grid: one photograph's, (1, C, H, W), as `encode` gives it.
            words: the T words of a caption of it, as in `Caption.words`.
            count: how many candidates to name at each place.

        Raises:
            SettingError: if the grid is none of this model's, or that of several photographs.
        """
        sentence = self.vocabulary.encode(words)[1:-1]
        grid = self._checked(grid)
        check(len(grid) == 1, f"explain takes the grid of one photograph, grid[:1] for instance, not of {len(grid)}.")
        reading = read(self._decoder, grid, sentence, self._special)
        log_probs, likeliest = reading.log_probs.topk(min(count, reading.log_probs.size(-1)))
        names = {self.vocabulary.end: ""}
        candidates = [
            [(names.get(index, self.vocabulary.words[index]), value) for index, value in zip(*place, strict=True)]
            for place in zip(likeliest.tolist(), log_probs.tolist(), strict=True)
        ]
        return Explanation(self.config.decoder.cell, candidates, reading.hidden.cpu().numpy(), reading.gates.numpy())

    def _checked(self, grid: Tensor) -> Tensor:
        """A grid (B, C, H, W) as float32 on the model's device, however it was kept since it was encoded.

        Raises:
            SettingError: if it is none of this model's.
        """
        check(isinstance(grid, Tensor), f"A grid is a tensor, as encode gives it, not {type(grid).__name__}.")
        channels, shape = self.config.decoder.grid_channels, tuple(grid.shape)
        wanted = f"This model reads grids of the shape (photographs, {channels}, height, width), not {shape}."
        fits = len(shape) == 4 and shape[1] == channels and 0 not in shape[2:]
        check(fits, f"{wanted} Take those that encode gives.")
        grid = grid.to(self.device, torch.float32)
        # What float16, which a GPU without bfloat16 takes, cannot hold is infinite; no sentence can be found then.
        advice = "Please load the model with precision='fp32' (--precision fp32) and encode the photographs again."
        check(bool(grid.isfinite().all()), f"The grid holds values that are no finite numbers. {advice}")
        return grid

    @torch.inference_mode()
    def _rerank(self, found: list[list[Hypothesis]], grid: Tensor, config: SearchConfig) -> list[list[Hypothesis]]:
        """The hypotheses of each photograph in the order in which to prefer them (see `rerank.py`)."""
        sentences = [hypothesis.ids for hypotheses in found for hypothesis in hypotheses]
        priors = iter(sentence_log_probs(self._decoder, self.model.typical_grid[None], sentences, self._special))
        matches = self._matches(found, grid) if config.match and self.config.matcher else None
        reranked = []
        for photo, hypotheses in enumerate(found):
            sentences = [hypothesis.ids for hypothesis in hypotheses]
            evidence = [hypothesis.log_prob - config.rerank * next(priors) for hypothesis in hypotheses]
            if matches:
                evidence = [value + config.match * fit for value, fit in zip(evidence, matches[photo], strict=False)]
            reranked.append([hypotheses[place] for place in in_order(sentences, evidence, self._repeatable)])
        return reranked

    def _matches(self, found: list[list[Hypothesis]], grid: Tensor) -> list[list[float]]:
        """How well each photograph's sentences suit it; rows are as long as the longest, filled up with 0."""
        sentences = [[hypothesis.ids for hypothesis in hypotheses] for hypotheses in found]
        return self.model.match(grid, sentences).tolist()

    def _to_caption(self, hypotheses: list[Hypothesis], grid_size: tuple[int, int], alternatives: int) -> Caption:
        """The best hypothesis as a caption, the others as its alternatives."""
        distinct: dict[str, dict[str, Any]] = {}
        for hypothesis in hypotheses:
            words = tuple(self.vocabulary.decode(hypothesis.ids))
            text = join_words(words)
            if text not in distinct:
                distinct[text] = {
                    "text": text,
                    "words": words,
                    "log_probs": tuple(hypothesis.log_probs),
                    "attention": hypothesis.attention.float().view(-1, *grid_size).numpy(),
                    "score": hypothesis.score,
                    "log_prob": hypothesis.log_prob,
                }
        best, *others = distinct.values()
        return Caption(**best, alternatives=tuple(Caption(**other) for other in others[:alternatives]))


def special_ids(vocabulary: Vocabulary) -> SpecialIds:
    """What a search must know of a vocabulary."""
    return SpecialIds(vocabulary.start, vocabulary.end, (vocabulary.pad, vocabulary.start, vocabulary.unknown))


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes a GPU where there is one.

    Raises:
        SettingError: if the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SettingError(f"The device {name!r} cannot be used here: {reason}. Try 'cpu' or 'auto'.") from error
    return device
