"""Frames become scenes: what says the same is joined, and a flicker is none."""

import pytest

from captioner.batch.scenes import Frame, Joiner, are_similar, in_short, scene_row


def row(caption: str, score: float = -1.0) -> dict:
    return {"caption": caption, "words": caption.lower().rstrip(".").split(), "score": score}


def joined(captions: list[str], duration: float, scores: list[float] | None = None) -> list[tuple[float, float, str]]:
    joiner, scenes = Joiner(), []
    for number, caption in enumerate(captions):
        scenes += joiner.push(Frame(2.0 * number, row(caption, scores[number] if scores else -1.0)))
    return [(scene.start, scene.end, scene.row["caption"]) for scene in [*scenes, *joiner.finish(duration)]]


A, B, C, D = "A dog runs.", "Two boats at sea.", "Some people dance.", "Snow."


@pytest.mark.parametrize(
    ("captions", "scenes"),
    [
        ([], []),
        ([A], [(0, 9, A)]),
        ([A, A, A], [(0, 9, A)]),
        ([A, A, B, B], [(0, 4, A), (4, 9, B)]),
        ([A, B, A, A], [(0, 9, A)]),  # a flicker
        ([A, B, A, C], [(0, 6, A), (6, 9, C)]),
        ([A, B, C, D], [(0, 2, A), (2, 4, B), (4, 6, C), (6, 9, D)]),
        ([A, B, B, A], [(0, 2, A), (2, 6, B), (6, 9, A)]),
        ([A, A, B], [(0, 4, A), (4, 9, B)]),
        ([A, B, C, B], [(0, 2, A), (2, 9, B)]),
    ],
)
def test_runs_of_the_same(captions, scenes):
    assert joined(captions, 9) == scenes


def test_a_scene_has_the_likeliest_caption():
    captions = ["A brown dog runs on grass.", "A dog runs on the grass.", "A brown dog runs on the grass."]
    assert joined(captions, 6, [-2.0, -1.0, -1.0]) == [(0, 6, captions[1])]  # of two, the first
    assert joined([A, B, A], 6, [-2.0, -0.5, -1.0]) == [(0, 6, A)]  # a flicker never speaks for it


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        (A, A, True),
        ("A man is riding a horse.", "A man is riding a bike.", False),
        ("A brown dog runs on grass.", "A dog runs on the grass.", True),
        ("A man in a red shirt.", "A man in a blue shirt.", False),
        ("On the.", "In the.", False),
        ("It is.", "It is.", True),
        ("", "", True),
        ("", A, False),
        ("Dog dog dog dog.", "Dog.", False),
    ],
)
def test_what_is_similar(one, other, similar):
    assert are_similar(row(one), row(other)) is similar
    assert are_similar(row(other), row(one)) is similar


def test_a_scene_is_never_empty():
    assert joined([A], 0) == [(0, 0.001, A)]


def test_rows_are_named_by_media_fragments():
    joiner = Joiner()
    assert not list(joiner.push(Frame(4, row(A))))
    (scene,) = joiner.finish(10.5)
    assert scene_row("a/film#1.mp4", scene) == {"file": "a/film#1.mp4#t=4,10.5", "start": 4, "end": 10.5} | row(A)
    assert [in_short(seconds) for seconds in (0.0, 100.0, 0.25, 1 / 3)] == ["0", "100", "0.25", "0.333"]
