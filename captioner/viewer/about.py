"""An honest word about a model, for its users."""

from typing import Any

WEAK = "What it is bad at:"


def about_model(
    encoder: str, words: int, origin: dict[str, Any], scores: dict[str, Any], bundled: bool
) -> tuple[list[str], str]:
    """What a model was trained on and how good it is, in sentences.

    Args:
        encoder: the name of its encoder.
        words: how many it knows.
        origin: where it came from, as its checkpoint tells.
        scores: of its validation.
        bundled: whether it is the bundled model.

    Returns:
        Paragraphs, and one more that goes on after `WEAK`.
    """
    paragraphs = [
        f"A convolutional network ({encoder}) turns the photograph into a grid of features; a recurrent network with "
        f"attention writes the sentence from {words:,} words."
    ]
    if origin.get("photographs"):
        paragraphs.append(
            f"It learned from {origin['photographs']:,} photographs with {origin.get('captions', 0):,} captions by "
            "people" + (": mostly people and dogs outdoors, and everyday scenes." if bundled else ".")
        )
    if "CIDEr-D" in scores and "BLEU-4" in scores:
        paragraphs.append(
            f"On photographs that it did not learn from, but was chosen on, it has BLEU-4 {scores['BLEU-4']:.1f} and "
            f"CIDEr-D {scores['CIDEr-D']:.1f}. One person's caption judged by others' has a CIDEr-D of 79 to 97, so it "
            "is often wrong where a person would not be."
        )
    weak = (
        "rare things, which it takes for common ones of similar shape; colours of clothes; counting beyond two; small "
        "things. It cannot read, knows no names, and describes drawings, screenshots and documents as if they were "
        "photographs. Whether it says “man”, “woman”, “boy” or “girl” is a guess from looks. Do not decide anything "
        "about people with it, and read its alt text before you publish it."
    )
    return paragraphs, weak
