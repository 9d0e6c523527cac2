"""The settings of the search as sliders."""

from typing import Any

import streamlit as st

from captioner import SearchConfig

METHODS = {
    "beam": ("Likeliest", "beam search: keeps the likeliest sentences at every word"),
    "sample": ("Creative", "sampling: draws words by their probability"),
    "greedy": ("Plain", "greedy: always the likeliest next word"),
}


def choose_settings() -> dict[str, Any]:
    """What `Captioner.decode` is to be called with. Moving a slider writes anew, and looks at no photograph again."""
    defaults = SearchConfig()
    with st.expander("Change how it writes"):
        method = st.radio(
            "How to write",
            list(METHODS),
            format_func=lambda name: METHODS[name][0],
            captions=[METHODS[name][1] for name in METHODS],
            key="method",
        )
        settings: dict[str, Any] = {"method": method}
        left, right = st.columns(2, gap="medium")
        with left:
            settings |= choose_search(method, defaults)
            if method != "greedy":
                settings["alternatives"] = st.slider(
                    "Alternatives, at most",
                    0,
                    9,
                    defaults.alternatives,
                    key="alternatives",
                    help="A larger beam, or more draws, find more of them.",
                )
        with right:
            lengths = st.slider(
                "Words, at least and at most", 1, 40, (defaults.minimum_length, defaults.maximum_length), key="lengths"
            )
            settings["minimum_length"], settings["maximum_length"] = lengths
            settings["length_penalty"] = st.slider(
                "Length penalty",
                0.0,
                2.0,
                defaults.length_penalty,
                0.1,
                key="length_penalty",
                help="Higher values favour longer sentences.",
            )
            settings["block_ngram"] = st.slider(
                "Never repeat a phrase of … words",
                0,
                5,
                defaults.block_ngram,
                key="block_ngram",
                help="0 allows repetition.",
            )
    return settings


def choose_search(method: str, defaults: SearchConfig) -> dict[str, Any]:
    """The settings of one method."""
    settings: dict[str, Any] = {}
    if method == "beam":
        settings["beam_size"] = st.slider("Beam size", 2, 10, defaults.beam_size, key="beam_size")
    if method == "sample":
        settings["temperature"] = st.slider(
            "Creativity (temperature)",
            0.1,
            2.0,
            defaults.temperature,
            0.1,
            key="temperature",
            help="Low values keep to the likeliest words, high ones dare more.",
        )
        settings["top_p"] = st.slider(
            "Choose among the likeliest (top-p)",
            0.1,
            1.0,
            defaults.top_p,
            0.05,
            key="top_p",
            help="Words are drawn from the likeliest ones that have this share of the probability.",
        )
        settings["beam_size"] = st.slider("Captions to draw", 1, 10, 5, key="draws")
        settings["seed"] = st.number_input("Seed", 0, 2**31, defaults.seed, key="seed")
    return settings
