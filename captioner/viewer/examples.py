"""The photographs that visitors can try."""

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "examples"
FLICKR = "https://www.flickr.com/photo.gne?id="
FLICKR_LICENCE = "CC BY 2.0"


class Example(NamedTuple):
    """A photograph to try.

    Attributes:
        name: of its file, without the suffix.
        author: whose it is, or where it is from.
        licence: its short name.
        address: of the original, or "".
        wrong: whether the bundled model is known to get it wrong.
    """

    name: str
    author: str
    licence: str
    address: str = ""
    wrong: bool = False

    @property
    def path(self) -> Path:
        """Its file."""
        return FOLDER / f"{self.name}.jpg"


EXAMPLES = (
    Example("desk", "Flickr", FLICKR_LICENCE, f"{FLICKR}3267385733"),
    Example("motorcycle", "Flickr", FLICKR_LICENCE, f"{FLICKR}7243537732"),
    Example("kitchen", "Flickr", FLICKR_LICENCE, f"{FLICKR}8561578295"),
    Example("riders", "Flickr", FLICKR_LICENCE, f"{FLICKR}8392128987"),
    Example("skier", "Flickr", FLICKR_LICENCE, f"{FLICKR}6795644157"),
    Example("tennis", "Flickr", FLICKR_LICENCE, f"{FLICKR}8534907929"),
    Example("gull", "Flickr", FLICKR_LICENCE, f"{FLICKR}100911501", wrong=True),
    Example("cat", "Stéfan van der Walt", "CC0", wrong=True),
)
