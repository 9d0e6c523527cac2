"""Attention correctness: does the model look at what it names?

Liu, Mao, Sha, Yuille, "Attention Correctness in Neural Image Captioning", 2017 (arXiv:1605.09553): the share of
a word's attention that falls inside the boxes of the category the word names. Beside it the share that
uniform attention would have, and the pointing game of Zhang et al. 2016 (arXiv:1608.00507): how often the
strongest cell's centre lies in such a box.

Shapes: H x W cells of an attention map.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from captioner import Caption
from captioner.errors import DataError

from ..data.captions import entries, parse_json
from ..data.captions import field as read_field

# Steps a side into which a cell is divided to see how much of it a box covers.
FINENESS = 32

# No photograph is larger; also keeps out what is no number.
LARGEST_SIDE = 10**6

# Words for the categories of MS-COCO beside their own names; the plurals are derived.
SYNONYMS = {
    "person": "man men woman women boy girl child children kid baby toddler guy lady player rider skier surfer "
    "skateboarder snowboarder people someone adult batter catcher umpire cyclist biker pedestrian teenager officer "
    "policeman hiker climber swimmer dancer runner worker soldier female male individual crowd couple",
    "bicycle": "bike",
    "car": "automobile taxi cab suv sedan",
    "motorcycle": "motorbike dirtbike scooter moped",
    "airplane": "plane jet airliner aircraft jetliner",
    "bus": "",
    "train": "locomotive",
    "truck": "",
    "boat": "canoe kayak sailboat ship raft ferry rowboat",
    "traffic light": "stoplight",
    "fire hydrant": "hydrant",
    "bench": "",
    "bird": "duck seagull pigeon goose geese parrot owl eagle swan gull hen chicken",
    "cat": "kitten kitty",
    "dog": "puppy puppies greyhound poodle retriever bulldog terrier",
    "horse": "pony ponies foal",
    "sheep": "lamb ram",
    "cow": "cattle calf bull ox oxen",
    "zebra": "",
    "giraffe": "",
    "backpack": "knapsack rucksack",
    "umbrella": "parasol",
    "handbag": "purse",
    "tie": "necktie",
    "suitcase": "luggage",
    "skis": "ski",
    "sports ball": "ball football basketball baseball soccerball volleyball",
    "baseball bat": "bat",
    "baseball glove": "glove mitt",
    "tennis racket": "racket racquet",
    "wine glass": "wineglass",
    "cup": "mug",
    "sandwich": "burger hamburger",
    "donut": "doughnut",
    "couch": "sofa",
    "potted plant": "houseplant",
    "dining table": "table",
    "tv": "television",
    "cell phone": "phone cellphone smartphone",
    "refrigerator": "fridge",
    "teddy bear": "teddy",
    "mouse": "mice",
    "hot dog": "hotdog",
    "microwave": "",
    "toilet": "",
    "frisbee": "",
}


def plurals(noun: str) -> set[str]:
    """A noun and how English might form its plural; forms that do not exist do no harm."""
    forms = {noun, f"{noun}s"}
    if noun.endswith(("s", "x", "ch", "sh")):
        forms.add(f"{noun}es")
    if noun.endswith("y"):
        forms.add(f"{noun[:-1]}ies")
    if noun.endswith(("f", "fe")):
        forms.add(f"{noun.rstrip('e')[:-1]}ves")
    return forms


def names_of(categories: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Every way to name each category, as words, with the category."""
    names = {}
    for category in categories:
        for noun in (category, *SYNONYMS.get(category, "").split()):
            for form in plurals(noun):
                names[tuple(form.split())] = category
    return names


def named_categories(words: Sequence[str], names: Mapping[tuple[str, ...], str]) -> dict[int, str]:
    """The category that each word names or helps to name ("fire hydrant"), by the word's place."""
    found: dict[int, str] = {}
    for length in (1, 2):  # two words, such as "hot dog", overrule what one of them alone would mean
        for start in range(len(words) - length + 1):
            category = names.get(tuple(words[start : start + length]))
            if category:
                found |= dict.fromkeys(range(start, start + length), category)
    return found


@dataclass
class Instances:
    """Boxes of a photograph by category, as shares 0..1 of width and height: left, upper, right, lower."""

    boxes: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)


def read_instances(path: Path) -> tuple[dict[int | str, Instances], list[str]]:
    """Read MS-COCO's instances format: boxes by photograph id, and the categories.

    Raises:
        DataError: if the file is not of that format.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The instances {path} cannot be read: {error}.") from error
    wanted = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in wanted):
        raise DataError(f"{path} is not in COCO's instances format: it needs lists {', '.join(wanted)}.")
    try:
        return collect_instances(content)
    except DataError as error:
        raise DataError(f"{path}, {error}") from error


def collect_instances(content: dict[str, Any]) -> tuple[dict[int | str, Instances], list[str]]:
    """Boxes by photograph id, and the categories, of a file's content."""
    number = int | float
    categories, sizes, photos = {}, {}, {}
    for where, entry in entries(content, "categories"):
        categories[read_field(where, entry, "id", int | str)] = read_field(where, entry, "name", str).lower()
    for where, entry in entries(content, "images"):
        photo_id = read_field(where, entry, "id", int | str)
        sizes[photo_id] = tuple(read_field(where, entry, name, number) for name in ("width", "height"))
        if not all(0 < side < math.inf for side in sizes[photo_id]):
            raise DataError(f"{where}: width and height must be above 0, found {sizes[photo_id]}.")
        photos[photo_id] = Instances()
    for where, entry in entries(content, "annotations"):
        photo_id, category = (read_field(where, entry, name, int | str) for name in ("image_id", "category_id"))
        if photo_id not in photos or category not in categories:
            raise DataError(f"{where}: its image {photo_id!r} or category {category!r} is not in the file.")
        box = read_field(where, entry, "bbox", list)
        if len(box) != 4 or not all(isinstance(value, number) and abs(value) < LARGEST_SIDE for value in box):
            raise DataError(f"{where}: a bbox is left, upper, width and height, found {box!r:.60}.")
        (left, upper, width, height), (across, down) = box, sizes[photo_id]
        shares = left / across, upper / down, (left + width) / across, (upper + height) / down
        photos[photo_id].boxes.setdefault(categories[category], []).append(shares)
    return photos, list(categories.values())


def coverage(boxes: Sequence[tuple[float, float, float, float]], height: int, width: int) -> numpy.ndarray:
    """The share of each cell, float64 (H, W), that lies in at least one box."""
    rows = (numpy.arange(height * FINENESS) + 0.5)[:, None] / (height * FINENESS)
    columns = (numpy.arange(width * FINENESS) + 0.5)[None] / (width * FINENESS)
    inside = numpy.zeros((height * FINENESS, width * FINENESS), dtype=bool)
    for left, upper, right, lower in boxes:
        inside |= (left <= columns) & (columns < right) & (upper <= rows) & (rows < lower)
    return inside.reshape(height, FINENESS, width, FINENESS).mean((1, 3))


def in_a_box(boxes: Sequence[tuple[float, float, float, float]], row: int, column: int, shape: Sequence[int]) -> bool:
    """Whether the centre of a cell lies in a box."""
    x, y = (column + 0.5) / shape[1], (row + 0.5) / shape[0]
    return any(left <= x < right and upper <= y < lower for left, upper, right, lower in boxes)


def measure_attention(
    captions: Mapping[int | str, Caption], instances: Mapping[int | str, Instances], categories: Sequence[str]
) -> dict[str, float | int]:
    """Attention correctness of captions on photographs with annotated boxes.

    Returns:
        `words`: how many words named a category that is annotated in their photograph; and, averaged over
        them, `attention_in_boxes`, `uniform_in_boxes` and `peak_in_box`, 0..1; `times_uniform` is the ratio of
        the first two. Without a word there is only `words`.
    """
    names = names_of(categories)
    rows = []
    for photo_id in captions.keys() & instances.keys():
        caption = captions[photo_id]
        for place, category in named_categories(caption.words, names).items():
            boxes = instances[photo_id].boxes.get(category)
            if boxes:
                attention = caption.attention[place]
                covered = coverage(boxes, *attention.shape)
                row, column = numpy.unravel_index(int(attention.argmax()), attention.shape)
                rows.append(((attention * covered).sum(), covered.mean(), in_a_box(boxes, row, column, covered.shape)))
    if not rows:
        return {"words": 0}
    inside, uniform, peak = (float(value) for value in numpy.mean(rows, axis=0))
    result = {"attention_in_boxes": inside, "uniform_in_boxes": uniform, "peak_in_box": peak}
    return {"words": len(rows), **result, "times_uniform": inside / uniform if uniform else 0.0}
