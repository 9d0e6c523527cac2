"""Several photographs: their captions side by side, one file for all of them, and one of them closer."""

import streamlit as st

from captioner import CaptionerError

from .downloads import download_button, rows_file
from .engine import Engine, Look
from .waiting import waiting

COLUMNS = 4


def show_gallery(engine: Engine, looks: list[Look]) -> Look:
    """Caption all photographs, show them, and return the one to look closer at."""
    if len(looks) == 1:
        return looks[0]
    rows, texts = [], []
    with waiting("Writing the captions") as tell:
        for look in looks:
            try:
                caption = engine.write(look, {}, tell)
                rows.append({"file": look.name} | caption.to_dict())
                texts.append(caption.text)
            except CaptionerError as error:
                rows.append({"file": look.name, "error": str(error)})
                texts.append(str(error))
    st.subheader(f"{len(looks)} photographs")
    with st.container(horizontal=True):
        download_button("All captions (CSV)", rows_file(rows, ".csv"), "captions.csv", "text/csv")
        download_button("All captions (JSONL)", rows_file(rows, ".jsonl"), "captions.jsonl", "application/jsonl")
    chosen = min(st.session_state.get("closer", 0), len(looks) - 1)
    for first in range(0, len(looks), COLUMNS):
        places = range(first, min(first + COLUMNS, len(looks)))
        for column, place in zip(st.columns(COLUMNS), places, strict=False):
            with column:
                show_tile(looks[place], texts[place], place, chosen)
    return looks[chosen]


def show_tile(look: Look, text: str, place: int, chosen: int) -> None:
    """One photograph of the gallery."""
    st.image(look.jpeg, width="stretch", alt=text)
    st.write(text)
    st.button(
        "Shown below" if place == chosen else "Look closer",
        key=f"closer-{place}",
        help=look.name,
        disabled=place == chosen,
        on_click=st.session_state.__setitem__,
        args=("closer", place),
    )
