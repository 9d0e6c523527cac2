"""The search's own sentences about the training photographs, each with what it is worth.

They take minutes to find, so they are kept in a file, a line for each photograph, and a run that was stopped goes on.
The first line says of which model and photographs they are.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from captioner import SearchConfig
from captioner.captioner import special_ids
from captioner.decoder import Decoder
from captioner.errors import DataError
from captioner.search import search
from captioner.vocabulary import Vocabulary, tokenize

from ..data.captions import Example
from ..judge.cider import CiderD


class Sentence(NamedTuple):
    """The ids of a sentence, and its CIDEr-D (from 0 to 10) against the captions of its photograph."""

    ids: list[int]
    reward: float


def find_sentences(
    examples: Sequence[Example],
    grids: Callable[[Sequence[Example]], Tensor],
    decoder: Decoder,
    vocabulary: Vocabulary,
    path: Path,
    origin: str,
    beam_size: int,
    stop: Callable[[], bool],
    batch_size: int = 16,
) -> list[list[Sentence]]:
    """All sentences that a beam search finds of each photograph; fewer photographs if it was told to stop.

    Args:
        examples: the photographs, always the same for one file.
        grids: gives the grids (B, C, H, W) of some of them.
        decoder: what writes.
        vocabulary: its words.
        path: the file.
        origin: what identifies the model, the photographs and their captions.
        beam_size: of the search.
        stop: asked after each batch.
        batch_size: photographs at a time.

    Raises:
        DataError: if the file is of another origin.
    """
    found = read_sentences(path, origin)
    special, config = special_ids(vocabulary), SearchConfig(beam_size=beam_size)
    cider = CiderD([tokenize(caption) for caption in example.captions] for example in examples)
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=len(examples), initial=len(found), desc="sentences", unit="photo") as bar,
    ):
        while len(found) < len(examples) and not stop():
            batch = examples[len(found) : len(found) + batch_size]
            for example, hypotheses in zip(batch, search(decoder, grids(batch), special, config), strict=True):
                humans = [cider.weigh(tokenize(caption)) for caption in example.captions]
                distinct = map(list, dict.fromkeys(tuple(hypothesis.ids) for hypothesis in hypotheses))
                worth = ((ids, cider.weigh(vocabulary.decode(ids))) for ids in distinct)
                found.append([Sentence(ids, cider.compare(weighed, humans)) for ids, weighed in worth])
                file.write(json.dumps(found[-1]) + "\n")
            bar.update(len(batch))
    return found


def read_sentences(path: Path, origin: str) -> list[list[Sentence]]:
    """What an earlier run has found; a line that was torn is cut off, and a new file begun.

    Raises:
        DataError: if the file is of another origin.
    """
    whole, _, torn = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    first, *lines = whole.splitlines() or [json.dumps(origin).encode()]
    if json.loads(first) != origin:
        raise DataError(
            f"{path} holds the sentences of another model, or about other photographs. Choose another --output."
        )
    if torn or not whole:
        path.write_bytes(b"".join(line + b"\n" for line in [first, *lines]))
    return [[Sentence(*sentence) for sentence in json.loads(line)] for line in lines]
