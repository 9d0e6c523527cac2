"""Free-running captions (no teacher forcing) of a data set, and their scores."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from captioner import Caption, Captioner
from captioner.errors import DataError, PhotoError, SettingError
from captioner.vocabulary import tokenize

from ..data.captions import Example, parse_json
from .metrics import Scores, Texts, score

Encode = Callable[[Captioner, Example], Tensor]


@dataclass
class Written:
    """Captions by photograph, the photographs that could not be read, and seconds for each caption."""

    captions: dict[int | str, Caption] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def texts(self) -> dict[int | str, str]:
        """The captions as sentences."""
        return {key: caption.text for key, caption in self.captions.items()}


def check_packages(*names: str) -> None:
    """Raise SettingError if a package that only training and evaluation need is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise SettingError(f"This needs {' and '.join(missing)}: pip install -r requirements-dev.txt")


def encode_photo(captioner: Captioner, example: Example) -> Tensor:
    """The grid (1, C, H, W) of an example's photograph."""
    return captioner.encode([example.path])


def write_captions(
    captioner: Captioner,
    examples: list[Example],
    batch_size: int = 25,
    encode: Encode = encode_photo,
    progress: bool = True,
    **settings: Any,
) -> Written:
    """Caption every example's photograph; those that cannot be read are told, not fatal."""
    written = Written()
    start = time.perf_counter()
    with tqdm(total=len(examples), desc="captions", unit="photo", disable=not progress) as bar:
        for first in range(0, len(examples), batch_size):
            batch = examples[first : first + batch_size]
            grids, good = [], []
            for example in batch:
                try:
                    grids.append(encode(captioner, example))
                    good.append(example)
                except PhotoError as error:
                    written.errors.append(str(error))
            if good:
                captions = captioner.decode(torch.cat(grids), **settings)
                for example, caption in zip(good, captions, strict=True):
                    written.captions[example.photo_id] = caption
            bar.update(len(batch))
    written.seconds = (time.perf_counter() - start) / max(len(written.captions), 1)
    return written


def references_of(examples: Iterable[Example]) -> Texts:
    """Human captions by photograph."""
    return {example.photo_id: list(example.captions) for example in examples}


def read_results(path: Path) -> dict[int | str, str]:
    """Captions in COCO's results format: a list of {"image_id", "caption"}.

    Raises:
        DataError: if the file is not of that format.
    """
    try:
        rows = parse_json(Path(path).read_text(encoding="utf-8"), str(path))
        captions = {row["image_id"]: row["caption"] for row in rows}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"The results {path} cannot be read: {error}.") from error
    except (KeyError, TypeError) as error:
        raise DataError(f'{path} is not in COCO\'s results format, a list of {{"image_id", "caption"}}.') from error
    wrong = [key for key, caption in captions.items() if not isinstance(caption, str)]
    if wrong:
        raise DataError(f"{path}: the caption of image {wrong[0]!r} is no text.")
    return captions


def make_report(scores: Scores, references: Texts, captions: dict[int | str, str], **facts: Any) -> dict[str, Any]:
    """What `evaluate` prints and writes: scores, and what they were computed from."""
    words = [tokenize(caption) for caption in captions.values()]
    return {
        "scores": {name: round(value, 2) for name, value in scores.values.items()},
        "unit": "times 100",
        "tokenizer": scores.tokenizer,
        "missing": scores.missing,
        "photographs": len(captions),
        "references": sum(len(references[key]) for key in captions),
        "distinct_captions": len(set(captions.values())),
        "distinct_share": round(len(set(captions.values())) / len(captions), 3),
        "words_used": len({word for caption in words for word in caption}),
        "mean_words": round(sum(map(len, words)) / len(words), 2),
        **facts,
    }


def score_captions(examples: list[Example], captions: dict[int | str, str], java: bool | None = None) -> Scores:
    """Scores of captions against the examples' human captions."""
    return score(references_of(examples), captions, java)
