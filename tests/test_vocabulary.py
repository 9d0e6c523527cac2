"""Tokenizing, ids, and sentences made of words."""

import pytest

from captioner.vocabulary import SPECIAL_WORDS, Vocabulary, join_words, tokenize


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog runs .", ["a", "dog", "runs"]),
        ("A man's hat, and a woman.", ["a", "man", "'s", "hat", "and", "a", "woman"]),
        ('Two dogs; "one" (brown) - runs!', ["two", "dogs", "one", "brown", "runs"]),
        ("A t-shirt doesn't fit", ["a", "t-shirt", "does", "n't", "fit"]),
        ("  ", []),
    ],
)
def test_tokenize(caption, words):
    assert tokenize(caption) == words


def test_join_words_undoes_the_split():
    assert join_words(["a", "man", "'s", "hat", "does", "n't", "fit"]) == "A man's hat doesn't fit."
    assert join_words([]) == ""


def test_build_keeps_common_words_in_order():
    captions = [["a", "dog"], ["a", "cat"], ["a", "dog"], ["bird"]]
    vocabulary = Vocabulary.build(captions, minimum_count=2)
    assert vocabulary.words == (*SPECIAL_WORDS, "a", "dog")
    assert "cat" not in vocabulary
    assert vocabulary.encode(["a", "cat"]) == [vocabulary.start, 4, vocabulary.unknown, vocabulary.end]
    assert vocabulary.decode([vocabulary.start, 4, 5, vocabulary.end, 4]) == ["a", "dog"]


def test_a_wrong_list_is_refused():
    with pytest.raises(ValueError, match="starts with"):
        Vocabulary(["a", "dog"])
    with pytest.raises(ValueError, match="twice"):
        Vocabulary([*SPECIAL_WORDS, "a", "a"])
