"""The community's scores of captions, times 100, through pycocoevalcap.

BLEU (Papineni 2002), ROUGE-L (Lin 2004), CIDEr-D (Vedantam 2015) are pure Python; METEOR 1.5 (Denkowski
2014) and the PTB tokenizer need Java.
"""

import contextlib
import io
import shutil
from dataclasses import dataclass, field

from captioner.errors import DataError
from captioner.vocabulary import tokenize

Texts = dict[int | str, list[str]]


@dataclass
class Scores:
    """Scores by name, times 100; the tokenizer that was used; and what could not be computed, with why."""

    values: dict[str, float]
    tokenizer: str
    missing: dict[str, str] = field(default_factory=dict)


def score(references: Texts, hypotheses: dict[int | str, str], java: bool | None = None) -> Scores:
    """Score one hypothesis for each photograph against its references.

    Args:
        references: human captions by photograph, as written.
        hypotheses: one caption by photograph, as written.
        java: whether to use Java's tokenizer and METEOR; by default, if Java is there.

    Raises:
        DataError: if there is nothing to score, or a hypothesis has no reference.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if not hypotheses:
        raise DataError("There are no captions to score.")
    unknown = [key for key in hypotheses if not references.get(key)]
    if unknown:
        raise DataError(f"{len(unknown)} captions have no reference, the first for image {unknown[0]!r}.")
    java = shutil.which("java") is not None if java is None else java
    references = {key: references[key] for key in hypotheses}
    candidates = {key: [text] for key, text in hypotheses.items()}
    missing = {} if java else {"METEOR": "it needs Java, and no `java` was found"}
    texts = None
    if java:
        try:
            texts = tokenize_with_java(references), tokenize_with_java(candidates)
        except (OSError, ValueError) as error:
            missing["METEOR"] = f"Java is there but does not run: {error}"
    references, candidates = texts or (tokenize_all(references), tokenize_all(candidates))
    with contextlib.redirect_stdout(io.StringIO()):  # the scorer prints its lengths
        bleu = Bleu(4).compute_score(references, candidates)[0]
        values = {f"BLEU-{order}": 100 * value for order, value in enumerate(bleu, 1)}
        values["ROUGE-L"] = 100 * float(Rouge().compute_score(references, candidates)[0])
        values["CIDEr-D"] = 100 * float(Cider().compute_score(references, candidates)[0])
    if texts:
        try:
            values["METEOR"] = 100 * meteor(references, candidates)
        except (OSError, ValueError) as error:
            missing["METEOR"] = f"Java's METEOR failed: {error}"
    return Scores(values, "PTB" if texts else "nltk", missing)


def tokenize_all(texts: Texts) -> Texts:
    """Tokenize without Java."""
    return {key: [" ".join(tokenize(text)) for text in several] for key, several in texts.items()}


def tokenize_with_java(texts: Texts) -> Texts:
    """Tokenize with the Stanford PTB tokenizer, as the papers do."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    entries = {key: [{"caption": text} for text in several] for key, several in texts.items()}
    tokenized = PTBTokenizer().tokenize(entries)
    if {key: len(several) for key, several in tokenized.items()} != {key: len(texts[key]) for key in texts}:
        raise ValueError("its tokenizer lost captions")
    return tokenized


def meteor(references: Texts, candidates: Texts) -> float:
    """METEOR 1.5 through its Java program."""
    from pycocoevalcap.meteor.meteor import Meteor

    return float(Meteor().compute_score(references, candidates)[0])
