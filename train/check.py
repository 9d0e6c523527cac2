"""What there is to know of a data set before hours are spent on it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from captioner.errors import DataError
from captioner.vocabulary import Vocabulary, tokenize

from .data.captions import CaptionFile, Example, read_captions, readable_photos

NAMED = 10  # rows of a kind that are listed


class Source(NamedTuple):
    """Where the captions and photographs of a split lie; `photos` names those to take, "" takes all."""

    captions: str
    images: str
    photos: str = ""


def check_data(sources: Mapping[str, Source], minimum_count: int, maximum_words: int, tolerated_share: float) -> bool:
    """Print what `fit` would find in its data.

    Every photograph is decoded, which `fit` itself does only as it meets them.

    Args:
        sources: those of the splits "train" and "val".
        minimum_count, maximum_words, tolerated_share: as in the recipe of `fit`.

    Returns:
        Whether `fit` would take them.

    Raises:
        DataError: if a caption file cannot be read.
    """
    files: dict[str, CaptionFile] = {}
    for split, (captions, images, photos) in sources.items():
        files[split] = read_captions(Path(captions), Path(images), split, Path(photos) if photos else None)
    sound = True
    for split, read in files.items():
        print(f"{split}: {sources[split].captions}")
        sound &= check_photos(read, tolerated_share)
        check_captions(read.examples, maximum_words)
    check_vocabulary(files["train"].examples, files["val"].examples, minimum_count)
    shared = {example.path for example in files["train"].examples} & {example.path for example in files["val"].examples}
    if shared:
        print(f"warning: {len(shared)} photographs are in both splits, such as {min(shared)}: scores would flatter")
    return sound


def check_photos(read: CaptionFile, tolerated_share: float) -> bool:
    """Count photographs and name those that cannot be read; returns whether they are few enough."""
    examples, errors = readable_photos(read.examples, tolerated_share=1.0, thorough=True)
    print(f"  photographs {len(read.examples)}, readable {len(examples)}")
    for remark in read.remarks:
        print(f"  {remark}")
    for error in errors:
        print(f"  {error}")
    if len(errors) > tolerated_share * len(read.examples):
        print(f"  more than {tolerated_share:.0%} are missing or damaged: `fit` would refuse")
        return False
    return True


def check_captions(examples: Sequence[Example], maximum_words: int) -> None:
    """Print how many captions there are and how long they are."""
    counts = Counter(len(example.captions) for example in examples)
    lengths = sorted(len(tokenize(caption)) for example in examples for caption in example.captions)
    each = ", ".join(f"{count} photographs with {number}" for number, count in sorted(counts.items())[:NAMED])
    cut = sum(length > maximum_words for length in lengths) / len(lengths)
    middle, long = lengths[len(lengths) // 2], lengths[int(len(lengths) * 0.95)]
    print(f"  captions {len(lengths)}: {each}")
    print(f"  words in a caption: from {lengths[0]} to {lengths[-1]}, half have up to {middle}, 95 % up to {long}")
    print(f"  cut at --maximum-words {maximum_words}: {cut:.1%}")
    if lengths[0] == 0:
        print(f"  warning: {lengths.count(0)} captions have no word")


def check_vocabulary(train: Sequence[Example], val: Sequence[Example], minimum_count: int) -> None:
    """Print the vocabulary's size, and how much of what people wrote it covers."""
    words = Counter(word for example in train for caption in example.captions for word in tokenize(caption))
    try:
        vocabulary = Vocabulary.build(([word] * count for word, count in words.items()), minimum_count)
    except ValueError as error:
        raise DataError(
            f"No word stands {minimum_count} times in the training captions. Lower --minimum-count."
        ) from error
    known = sum(word in vocabulary for word in words)
    print(f"vocabulary: {known} of {len(words)} training words stand at least {minimum_count} times")
    for split, examples in (("train", train), ("val", val)):
        written = Counter(word for example in examples for caption in example.captions for word in tokenize(caption))
        covered = sum(count for word, count in written.items() if word in vocabulary) / max(written.total(), 1)
        strange = [word for word, _ in written.most_common() if word not in vocabulary][:NAMED]
        missing = f"; missing are {', '.join(strange)}" if strange else ""
        print(f"  {split}: {covered:.1%} of the words written are in it{missing}")
