"""The page: give it a photograph, read its caption, choose a word and see where the model looked.

This is its table of contents; each part has a file in `captioner/page/`.
"""

import streamlit as st

from captioner.page.about import show_about
from captioner.page.engine import load_engine
from captioner.page.faults import faults_told
from captioner.page.gallery import show_gallery
from captioner.page.give import choose_photographs
from captioner.page.result import show_result

STYLE = """<style>
.stMainBlockContainer { padding-top: 2.5rem; max-width: 72rem; }
.st-key-examples img { aspect-ratio: 4 / 3; object-fit: cover; }
[class*=st-key-tile-] { position: relative; }
[class*=st-key-tile-] .stElementToolbar { display: none; }
[class*=st-key-tile-] .stElementContainer:has(.stButton), [class*=st-key-tile-] .stButton * { position: static; }
[class*=st-key-tile-] .stButton button::after { content: ""; position: absolute; inset: 0; cursor: pointer; }
.st-key-captions [role=radiogroup] { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
</style>"""


def main() -> None:
    """The page from top to bottom."""
    st.set_page_config("Captioner", "🖼️", layout="wide", initial_sidebar_state="collapsed")
    st.html(STYLE)
    st.title("Captioner")
    st.write("Give it a photograph: it says in a sentence what is there, and shows, word by word, where it looked.")
    with faults_told():
        engine = load_engine()
        looks = choose_photographs(engine)
        if looks:
            show_result(engine, show_gallery(engine, looks), in_gallery=len(looks) > 1)
        show_about(engine)
        st.caption("Photographs are looked at in memory, and neither stored nor passed on.")


main()
