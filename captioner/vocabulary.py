"""Words and their ids, and the one tokenizer that training and scoring share."""

from collections import Counter
from collections.abc import Iterable, Sequence

PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unk>"
SPECIAL_WORDS = (PAD, START, END, UNKNOWN)

# The marks that the community's scorer (pycocoevalcap's PTBTokenizer) drops after tokenizing.
PUNCTUATION = frozenset(
    [
        "''",
        "'",
        "``",
        "`",
        "-LRB-",
        "-RRB-",
        "-LCB-",
        "-RCB-",
        "(",
        ")",
        "{",
        "}",
        ".",
        "?",
        "!",
        ",",
        ":",
        "-",
        "--",
        "...",
        ";",
        '"',
        "[",
        "]",
    ]
)


def tokenize(caption: str) -> list[str]:
    """Split a caption into lower-case words without punctuation.

    It is the Penn Treebank convention ("a man 's hat") of the community's scorer, through nltk's
    pure-Python tokenizer, which needs neither Java nor a download.
    """
    from nltk.tokenize import NLTKWordTokenizer  # slow to import, and captioning does without it

    # A full stop inside the text belongs to its word for the tokenizer ("day.night"); spaces free it.
    tokens = NLTKWordTokenizer().tokenize(caption.lower().replace("\n", " "))
    words = (token.strip(".") if token.strip(".") else token for token in tokens)
    return [word for word in words if word not in PUNCTUATION]


def join_words(words: Sequence[str]) -> str:
    """Write tokenized words as a sentence: "a man 's hat" becomes "A man's hat."."""
    text = ""
    for word in words:
        # Penn Treebank splits clitics off; in a sentence they belong to the word before.
        attached = word.startswith("'") or word == "n't"
        text += word if attached or not text else f" {word}"
    return f"{text[:1].upper()}{text[1:]}." if text else ""


class Vocabulary:
    """The words a model can write, in the order of their ids; the four special words come first.

    Raises:
        ValueError: if the special words are not the first four, no other follows, or a word is empty or stands twice.
    """

    def __init__(self, words: Sequence[str]):
        if tuple(words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
            raise ValueError(f"a vocabulary starts with {SPECIAL_WORDS}, this one with {tuple(words[:4])}")
        if not all(isinstance(word, str) and word for word in words):
            raise ValueError("a vocabulary holds non-empty words only")
        if len(words) == len(SPECIAL_WORDS):
            raise ValueError("the vocabulary has no word beside the special ones")
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("a word stands twice in the vocabulary")
        self.pad, self.start, self.end, self.unknown = range(len(SPECIAL_WORDS))

    @classmethod
    def build(cls, captions: Iterable[Sequence[str]], minimum_count: int = 5) -> "Vocabulary":
        """Collect the words that stand at least `minimum_count` times in tokenized captions, commonest first."""
        counts = Counter(word for caption in captions for word in caption)
        kept = [word for word, count in counts.items() if count >= minimum_count and word not in SPECIAL_WORDS]
        return cls([*SPECIAL_WORDS, *sorted(kept, key=lambda word: (-counts[word], word))])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def encode(self, words: Sequence[str]) -> list[int]:
        """Ids of tokenized words, with start and end around them; a word outside becomes `<unk>`."""
        return [self.start, *(self._ids.get(word, self.unknown) for word in words), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words of ids, up to the end token and without special words."""
        words = []
        for index in ids:
            if index == self.end:
                break
            if index >= len(SPECIAL_WORDS):
                words.append(self.words[index])
        return words
