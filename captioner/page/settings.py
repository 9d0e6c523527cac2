"""The settings of the search as sliders."""

from functools import partial
from typing import Any

import streamlit as st

from captioner import SearchConfig

METHODS = {
    "beam": ("Likeliest", "beam search: keeps the likeliest sentences at every word"),
    "sample": ("Creative", "sampling: draws words by their probability"),
    "greedy": ("Plain", "greedy: always the likeliest next word"),
}
DEFAULTS = SearchConfig()

# What is set stays set while it is not shown.
slider = partial(st.slider, persist_state="session")


def choose_settings() -> dict[str, Any]:
    """What `Captioner.decode` is to be called with. Moving a slider writes anew, and looks at no photograph again."""
    with st.expander("Change how it writes"):
        method = st.radio(
            "How to write",
            list(METHODS),
            format_func=lambda name: METHODS[name][0],
            captions=[METHODS[name][1] for name in METHODS],
            key="method",
            persist_state="session",
        )
        left, right = st.columns(2, gap="medium")
        with left:
            settings = {"method": method} | choose_search(method)
        with right:
            settings |= choose_form()
    return settings


def choose_search(method: str) -> dict[str, Any]:
    """The settings of one method."""
    settings: dict[str, Any] = {}
    if method == "beam":
        settings["beam_size"] = slider("Beam size", 2, 10, DEFAULTS.beam_size, key="beam_size")
        about = (
            "Of the sentences found, prefer the one that agrees with the others and would not suit just any "
            "photograph, and that says no word twice which people say once. 0 takes the best score, and so does a "
            "model that was not finished for it."
        )
        settings["rerank"] = slider("Reranking", 0.0, 1.0, DEFAULTS.rerank, 0.1, key="rerank", help=about)
        about = (
            "How much a judge counts in reranking: a second network, which has learnt what sentence goes with what "
            "photograph. 0 leaves it out, and a model need not have one."
        )
        settings["match"] = slider("Matching", 0.0, 10.0, DEFAULTS.match, 0.5, key="match", help=about)
    if method == "sample":
        label, about = "Creativity (temperature)", "Low values keep to the likeliest words, high ones dare more."
        settings["temperature"] = slider(label, 0.1, 2.0, DEFAULTS.temperature, 0.1, key="temperature", help=about)
        label = "Choose among the likeliest (top-p)"
        about = "Words are drawn from the likeliest ones that have this share of the probability."
        settings["top_p"] = slider(label, 0.1, 1.0, DEFAULTS.top_p, 0.05, key="top_p", help=about)
        settings["beam_size"] = slider("Captions to draw", 1, 10, 5, key="draws")
        settings["seed"] = st.number_input("Seed", 0, 2**31, DEFAULTS.seed, key="seed", persist_state="session")
    if method != "greedy":
        label, about = "Alternatives, at most", "A larger beam, or more draws, find more of them."
        settings["alternatives"] = slider(label, 0, 9, DEFAULTS.alternatives, key="alternatives", help=about)
    return settings


def choose_form() -> dict[str, Any]:
    """The settings that every method has."""
    lengths = (DEFAULTS.minimum_length, DEFAULTS.maximum_length)
    shortest, longest = slider("Words, at least and at most", 1, 40, lengths, key="lengths")
    about = "Higher values favour longer sentences."
    penalty = slider("Length penalty", 0.0, 2.0, DEFAULTS.length_penalty, 0.1, key="length_penalty", help=about)
    label, about = "Never repeat a phrase of … words", "0 allows repetition."
    blocked = slider(label, 0, 5, DEFAULTS.block_ngram, key="block_ngram", help=about)
    return {
        "minimum_length": shortest,
        "maximum_length": longest,
        "length_penalty": penalty,
        "block_ngram": blocked,
    }
