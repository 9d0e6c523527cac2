"""Several photographs: their captions side by side, one file for all of them, and one of them closer."""

import streamlit as st

from captioner import Caption
from captioner.rows import rows_file

from .downloads import download_button
from .engine import Engine, Look
from .result import is_unsure
from .waiting import waiting


def show_gallery(engine: Engine, looks: list[Look]) -> Look:
    """Caption all photographs as the settings say, show them, and return the one to look closer at."""
    if len(looks) == 1:
        return looks[0]
    captions = []
    with waiting("Writing the caption") as tell:
        for number, look in enumerate(looks, 1):
            tell.step(number, len(looks))
            captions.append(engine.write(look, st.session_state.get("settings", {}), tell))
    rows = [{"file": look.name} | caption.to_dict() for look, caption in zip(looks, captions, strict=True)]
    st.subheader(f"{len(looks)} photographs")
    with st.container(horizontal=True):
        download_button("All captions (CSV)", rows_file(rows, ".csv"), "captions.csv", "text/csv")
        download_button("All captions (JSONL)", rows_file(rows, ".jsonl"), "captions.jsonl", "application/jsonl")
    chosen = min(st.session_state.get("closer", 0), len(looks) - 1)
    with st.container(horizontal=True, key="gallery"):
        for place, (look, caption) in enumerate(zip(looks, captions, strict=True)):
            with st.container(width=150):
                show_tile(look, caption, place, place == chosen)
    return looks[chosen]


def show_tile(look: Look, caption: Caption, place: int, chosen: bool) -> None:
    """One photograph of the gallery."""
    st.image(look.jpeg, width="stretch", alt=caption.text)
    st.write(f"{caption.text} (unsure)" if is_unsure(caption) else caption.text)
    st.button(
        f"{place + 1}: shown below" if chosen else f"{place + 1}: look closer",
        key=f"closer-{place}",
        width="stretch",
        on_click=st.session_state.__setitem__,
        args=("closer", place),
    )
