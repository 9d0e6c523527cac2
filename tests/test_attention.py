"""Attention correctness on boxes and maps made for it."""

import json

import numpy
import pytest

from captioner import Caption, DataError
from train.judge.attention import (
    Instances,
    coverage,
    in_a_box,
    measure_attention,
    named_categories,
    names_of,
    plurals,
    read_instances,
)

CATEGORIES = ["person", "dog", "hot dog", "fire hydrant", "sheep", "bus", "knife", "teddy bear", "bear"]


def caption(text: str, cells: list[tuple[int, int]]) -> Caption:
    """A caption whose words look at one cell each of a 4 x 4 map."""
    words = tuple(text.split())
    attention = numpy.zeros((len(words), 4, 4), dtype=numpy.float32)
    for place, cell in enumerate(cells):
        attention[place][cell] = 1
    return Caption(text, words, (0.0,) * len(words), attention, 0.0, 0.0)


def test_words_name_categories_in_many_ways():
    names = names_of(CATEGORIES)

    def found(text: str) -> dict[int, str]:
        return named_categories(text.split(), names)

    hydrant = {7: "fire hydrant", 8: "fire hydrant"}
    expected = {1: "person", 4: "dog", **hydrant, 11: "bus"}
    assert found("two women and their puppies pass a fire hydrant and a bus") == expected
    assert found("a hot dog and a dog") == {1: "hot dog", 2: "hot dog", 5: "dog"}
    assert found("a teddy bear by a bear") == {1: "teddy bear", 2: "teddy bear", 5: "bear"}
    assert found("green grass") == {}
    assert {"buses", "knives", "ponies"} <= plurals("bus") | plurals("knife") | plurals("pony")


def test_coverage_is_the_share_of_each_cell():
    covered = coverage([(0.0, 0.0, 0.5, 0.25)], 2, 2)
    assert covered == pytest.approx(numpy.array([[0.5, 0], [0, 0]]))
    both = coverage([(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 1.0)], 2, 2)  # what overlaps counts once
    assert both == pytest.approx(numpy.array([[1, 0], [1, 0]]))
    assert in_a_box([(0.5, 0.5, 1.0, 1.0)], 1, 1, (2, 2))
    assert not in_a_box([(0.5, 0.5, 1.0, 1.0)], 0, 1, (2, 2))


def test_attention_inside_and_beside_its_box():
    left_half = Instances({"dog": [(0.0, 0.0, 0.5, 1.0)]})
    categories = ["dog", "person"]
    right = measure_attention({1: caption("a dog", [(0, 3), (2, 1)])}, {1: left_half}, categories)
    assert right == pytest.approx(
        {"words": 1, "attention_in_boxes": 1, "uniform_in_boxes": 0.5, "peak_in_box": 1, "times_uniform": 2}
    )
    both = {1: caption("a dog", [(0, 3), (2, 1)]), 2: caption("dogs", [(0, 3)])}
    mixed = measure_attention(both, dict.fromkeys(both, left_half), categories)
    assert (mixed["words"], mixed["attention_in_boxes"], mixed["peak_in_box"]) == (2, 0.5, 0.5)
    # Named but not annotated, or of a photograph without boxes: not counted.
    assert measure_attention({1: caption("a man", [(0, 0), (0, 0)])}, {1: left_half}, categories) == {"words": 0}
    assert measure_attention({5: caption("a dog", [(0, 0), (0, 0)])}, {1: left_half}, categories) == {"words": 0}


def test_instances_are_read_as_shares(tmp_path):
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 18, "bbox": [20, 10, 100, 50]}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    instances, categories = read_instances(path)
    assert categories == ["dog"]
    assert instances[3].boxes["dog"] == [pytest.approx((0.1, 0.1, 0.6, 0.6))]
    annotation = content["annotations"][0]
    for wrong, message in [
        ("{", "line 1: not valid JSON"),
        ("[]", "needs lists images, annotations, categories"),
        (content | {"annotations": [annotation | {"category_id": 5}]}, r"annotations\[0\]: its image 3 or category 5"),
        (content | {"annotations": [annotation | {"bbox": [1, 2]}]}, "a bbox is left, upper, width and height"),
        (content | {"annotations": [annotation | {"bbox": [0, 0, float("nan"), 9]}]}, "found .*nan"),
        (content | {"images": [{"id": 3, "width": "wide", "height": 1}]}, r"images\[0\]: the field 'width'"),
        (content | {"images": [{"id": 3, "width": 0, "height": 1}]}, "width and height must be above 0"),
    ]:
        path.write_text(wrong if isinstance(wrong, str) else json.dumps(wrong))
        with pytest.raises(DataError, match=message):
            read_instances(path)
