"""The community's scores of captions, times 100, through pycocoevalcap.

BLEU (Papineni 2002), ROUGE-L (Lin 2004), CIDEr-D (Vedantam 2015) are pure Python; METEOR 1.5 (Denkowski
2014) and the PTB tokenizer need Java, SPICE (Anderson 2016) needs Java 8 and once the internet, for its parser.
"""

import contextlib
import io
import re
import shutil
import subprocess
from dataclasses import dataclass, field

from captioner.errors import DataError
from captioner.vocabulary import tokenize

Texts = dict[int | str, list[str]]


@dataclass
class Scores:
    """Scores by name, times 100; the tokenizer that was used; what could not be computed, with why.

    `of_photo` is each photograph's CIDEr-D, times 100, which average to that of the whole.
    """

    values: dict[str, float]
    tokenizer: str
    missing: dict[str, str] = field(default_factory=dict)
    of_photo: dict[int | str, float] = field(default_factory=dict)


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
    missing = {} if java else dict.fromkeys(("METEOR", "SPICE"), "it needs Java, and no `java` was found")
    texts = None
    if java:
        try:
            texts = tokenize_with_java(references), tokenize_with_java(candidates)
        except (OSError, ValueError) as error:
            missing = dict.fromkeys(("METEOR", "SPICE"), f"Java is there but does not run: {error}")
    references, candidates = texts or (tokenize_all(references), tokenize_all(candidates))
    with contextlib.redirect_stdout(io.StringIO()):  # the scorer prints its lengths
        bleu = Bleu(4).compute_score(references, candidates)[0]
        values = {f"BLEU-{order}": 100 * value for order, value in enumerate(bleu, 1)}
        values["ROUGE-L"] = 100 * float(Rouge().compute_score(references, candidates)[0])
        cider, each = Cider().compute_score(references, candidates)
        values["CIDEr-D"] = 100 * float(cider)
    if texts:
        for name, scorer in (("METEOR", meteor), ("SPICE", spice)):
            try:
                values[name] = 100 * scorer(references, candidates)
            except Exception as error:  # programs in another language, which fail in many ways
                missing[name] = str(error) or type(error).__name__
    of_photo = {key: 100 * float(value) for key, value in zip(references, each, strict=True)}
    return Scores(values, "PTB" if texts else "nltk", missing, of_photo)


def tokenize_all(texts: Texts) -> Texts:
    """Tokenize without Java."""
    return {key: [" ".join(tokenize(text)) for text in several] for key, several in texts.items()}


def tokenize_with_java(texts: Texts) -> Texts:
    """Tokenize with the Stanford PTB tokenizer, as the papers do."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # Any line break within a caption would shift all captions after it.
    entries = {key: [{"caption": " ".join(text.split())} for text in several] for key, several in texts.items()}
    tokenized = PTBTokenizer().tokenize(entries)
    if {key: len(several) for key, several in tokenized.items()} != {key: len(texts[key]) for key in texts}:
        raise ValueError("its tokenizer lost captions")
    return tokenized


def meteor(references: Texts, candidates: Texts) -> float:
    """METEOR 1.5 through its Java program."""
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    try:
        return float(scorer.compute_score(references, candidates)[0])
    finally:
        if scorer.lock.locked():  # it failed, and would wait for itself for ever when it is disposed of
            scorer.lock.release()


def java_version() -> int:
    """The major version of the `java` that is found, such as 8 or 17.

    Raises:
        OSError, ValueError: if there is none, or it does not say.
    """
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if not found:
        raise ValueError(f"`java -version` said {said[:100]!r}")
    return int(found[1])


def spice(references: Texts, candidates: Texts) -> float:
    """SPICE through its Java program, whose libraries start on Java 8 only.

    Raises:
        ValueError: if another Java is found.
        OSError, subprocess.SubprocessError: if its parser cannot be downloaded, or it fails.
    """
    version = java_version()
    if version != 8:
        raise ValueError(f"it runs on Java 8 only, and the `java` found is {version}")
    from pycocoevalcap.spice.spice import Spice

    return float(Spice().compute_score(references, candidates)[0])
