"""Many different photographs, made from the few that come with the project."""

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from captioner.captioner import BUNDLED

EXAMPLES = BUNDLED.parents[1] / "examples"


def photographs(count: int, side: int = 1600) -> Iterator[tuple[str, bytes]]:
    """JPEG files with names: cut-outs of the example photographs, all different, as large as a phone's smaller ones."""
    originals = [Image.open(path).convert("RGB") for path in sorted(Path(EXAMPLES).glob("*.jpg"))]
    for number in range(count):
        photo = originals[number % len(originals)]
        step = number // len(originals)
        left, upper = (step * 7) % (photo.width // 3), (step * 13) % (photo.height // 3)
        cut = photo.crop((left, upper, left + photo.width * 2 // 3, upper + photo.height * 2 // 3))
        file = io.BytesIO()
        cut.resize((side, side * cut.height // cut.width)).save(file, "JPEG", quality=90)
        yield f"{number}.jpg", file.getvalue()
