"""The settings of a model, which travel in its checkpoint, and those of a search."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import SettingError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What names of timm's networks begin with; all others are torchvision's.
TIMM = "timm/"

CELLS = ("lstm", "gru", "rnn")
ATTENTIONS = ("additive", "dot", "none")
METHODS = ("greedy", "beam", "sample")


def check(condition: bool, message: str) -> None:
    """Raise SettingError with `message` unless `condition` holds."""
    if not condition:
        raise SettingError(message)


def check_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise SettingError unless a configuration's field is one of `choices`."""
    value = getattr(config, name)
    check(value in choices, f"Unknown {name} {value!r}. Choose from {', '.join(choices)}.")


def check_range(config: Any, names: str, low: float, high: float, whole: bool = False) -> None:
    """Raise SettingError unless each of a configuration's fields, named in one string, is from `low` to `high`."""
    for name in names.split():
        value = getattr(config, name)
        kind = "a whole number" if whole else "a number"
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        check(fits and low <= value <= high, f"{name} must be {kind} from {low} to {high}, not {value!r}.")


@dataclass(frozen=True)
class EncoderConfig:
    """Which CNN turns a photograph into a grid, and how the photograph is prepared for it.

    `name` is torchvision's, or timm's after "timm/". `layer` is the name of a module in torchvision's model, or of
    a stage of timm's ("" takes the family's default). `fold_batch_norm` merges batch normalisation with fixed
    statistics into the convolutions before it; timm's networks are left as they are, so for them it is False.
    """

    name: str = "inception_v3"
    layer: str = ""
    image_size: int = 299
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    fold_batch_norm: bool = True

    def __post_init__(self) -> None:
        check_range(self, "image_size", 32, 2048, whole=True)
        check(isinstance(self.name, str) and isinstance(self.layer, str), "name and layer must be texts.")
        if self.name.startswith(TIMM):
            object.__setattr__(self, "fold_batch_norm", False)
        check(len(self.mean) == len(self.std) == 3, "mean and std take three numbers each: red, green, blue.")
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        check(all(map(math.isfinite, self.mean)), f"mean must be numbers, not {self.mean}.")
        check(all(0 < value < math.inf for value in self.std), f"std must be above 0, not {self.std}.")


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent decoder: kind of cell and attention, widths, and dropout.

    Without attention there is nothing for `attention_width` to size.
    """

    cell: str = "lstm"
    attention: str = "additive"
    grid_channels: int = 2048
    width: int = 512
    embedding_width: int = 512
    attention_width: int = 512
    tied_embeddings: bool = True
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_choice(self, "cell", CELLS)
        check_choice(self, "attention", ATTENTIONS)
        check_range(self, "grid_channels width embedding_width attention_width", 1, 65536, whole=True)
        check_range(self, "dropout", 0, 0.99)


@dataclass(frozen=True)
class MatcherConfig:
    """The judge of photograph and sentence: its width, and dropout while it learns."""

    width: int = 256
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_range(self, "width", 1, 65536, whole=True)
        check_range(self, "dropout", 0, 0.99)


@dataclass(frozen=True)
class CaptionerConfig:
    """A whole model: encoder and decoder, and what reranking asks, if it has it.

    `typical`: whether it knows the typical photograph. `matcher`: of its matcher. `repeatable`: the words that people
    now and then say twice in a caption; none if that is not known.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    typical: bool = False
    matcher: MatcherConfig | None = None
    repeatable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(isinstance(self.typical, bool), f"typical must be true or false, not {self.typical!r}.")
        check(all(isinstance(word, str) for word in self.repeatable), "repeatable must be a list of words.")

    def to_dict(self) -> dict[str, Any]:
        """A nested dictionary of plain values, for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CaptionerConfig":
        """The inverse of `to_dict`.

        Raises:
            SettingError: if a setting is unknown, missing its section, or out of range.
        """
        try:
            encoder, decoder = EncoderConfig(**values["encoder"]), DecoderConfig(**values["decoder"])
            matcher = MatcherConfig(**values["matcher"]) if values.get("matcher") else None
            repeatable = tuple(values.get("repeatable", ()))
            return cls(encoder, decoder, values.get("typical", False), matcher, repeatable)
        except (KeyError, TypeError, ValueError, OverflowError) as error:  # the last from a number beyond floats
            raise SettingError(f"The configuration cannot be read: {error}.") from error


@dataclass(frozen=True)
class SearchConfig:
    """How a caption is searched for.

    `method`: "beam" keeps the `beam_size` likeliest sentences at every word; "greedy" is a beam of one;
    "sample" draws `beam_size` sentences, with `temperature` and `top_p`, reproducibly from `seed`.
    `length_penalty`: a sentence's score is its log-probability divided by (number of its words + 1) to
    this power; 0 does not normalise, 1 takes the mean. `block_ngram` forbids a phrase of so many words to
    stand twice (0 allows it). Lengths are in words. `alternatives`: how many other captions to return at most.
    `rerank`: of the sentences found, prefer the one that agrees most with all of them, each weighing as much as it
    is probable, and the less the more it suits any photograph; this is how much the latter counts. 0 prefers the
    best score, and so does a model that does not know the typical photograph (`train finish` tells it), because
    agreement alone makes captions worse. A sentence that says a word twice which people do not comes after all others,
    if the model knows which. `match`: how much, in reranking, it counts how well the sentence suits the
    photograph by the model's matcher, if it has one (`train match` makes it); 0 leaves it out.
    """

    method: str = "beam"
    beam_size: int = 8
    length_penalty: float = 0.7
    minimum_length: int = 3
    maximum_length: int = 30
    block_ngram: int = 2
    temperature: float = 1.0
    top_p: float = 0.9
    seed: int = 0
    alternatives: int = 4
    rerank: float = 0.3
    match: float = 4.0

    def __post_init__(self) -> None:
        check_choice(self, "method", METHODS)
        check_range(self, "beam_size", 1, 50, whole=True)
        check_range(self, "maximum_length", 1, 200, whole=True)
        check_range(self, "minimum_length", 1, self.maximum_length, whole=True)
        check_range(self, "block_ngram", 0, 20, whole=True)
        check_range(self, "alternatives", 0, 50, whole=True)
        check_range(self, "seed", 0, 2**63 - 1, whole=True)
        check_range(self, "length_penalty rerank", 0, 5)
        check_range(self, "match", 0, 20)
        check_range(self, "temperature", 0.01, 10)
        check_range(self, "top_p", 0.001, 1)

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "SearchConfig":
        """A configuration from keyword arguments.

        Raises:
            SettingError: if a name is unknown or a value out of range.
        """
        known = [item.name for item in fields(cls)]
        for name in settings:
            check(name in known, f"Unknown setting {name!r}. The search knows {', '.join(known)}.")
        return cls(**settings)
