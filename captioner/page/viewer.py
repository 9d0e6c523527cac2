"""The caption, its words as controls, and the maps: a component that works in the browser alone."""

import functools
from typing import Any

import numpy
import streamlit as st
from streamlit.runtime import get_instance

from captioner import Caption, Explanation
from captioner.overlay import COLOURS
from captioner.viewer import read_viewer
from captioner.vocabulary import join_words

from .engine import Look


@functools.cache
def viewer() -> Any:
    """The component, declared when it is first shown."""
    html, css, js = read_viewer()
    return st.components.v2.component("captioner_viewer", html=html, css=css, js=js)


def show_viewer(look: Look, caption: Caption, explained: Explanation) -> None:
    """Photograph, sentence, maps and lesson; all of it is sent at once, so that looking asks nothing of the server."""
    viewer()(key="viewer", data=viewer_data(look, caption, explained))


def viewer_data(look: Look, caption: Caption, explained: Explanation) -> dict[str, Any]:
    """What the browser needs to know."""
    width, height = look.photo.size
    return {
        "key": look.key,
        "text": caption.text,
        "photo": served(look.jpeg),
        "width": width,
        "height": height,
        "words": caption.words,
        "shown": displayed_words(caption),
        "logProbs": [round(value, 4) for value in caption.log_probs],
        "maps": caption.attention.astype(float).round(5).tolist(),
        "palette": COLOURS.tolist(),
        "candidates": [[[word, round(value, 4)] for word, value in place] for place in explained.candidates],
        "cell": explained.cell,
        "hidden": percentages(explained.hidden),
        "gates": percentages(explained.gates),
    }


def percentages(values: numpy.ndarray) -> list:
    """Numbers as nested lists of whole percent, which are short."""
    return (100 * values).round().astype(int).tolist()


def served(jpeg: bytes) -> str:
    """An address of this server at which the visitor's browser finds a photograph, once and not with every change."""
    return get_instance().media_file_mgr.add(jpeg, "image/jpeg", "viewer")


def displayed_words(caption: Caption) -> list[str]:
    """Each word as it stands in the sentence: the first with a capital, the last with the full stop."""
    shown = list(caption.words)
    shown[0] = join_words(shown[:1])[:-1]
    shown[-1] += "."
    return shown
