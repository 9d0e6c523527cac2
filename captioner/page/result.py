"""One photograph's result: the caption and where the model looked, other captions, settings, and ways to use it."""

import streamlit as st

from captioner import Caption
from captioner.certainty import UNSURE, percent, word_mean

from .downloads import offer_downloads
from .engine import Engine, Look
from .faults import faults_told
from .settings import choose_settings
from .viewer import show_viewer
from .waiting import waiting


@st.fragment
def show_result(engine: Engine, look: Look, in_gallery: bool) -> None:
    """Everything about one photograph; a changed setting draws only this anew, and the gallery if there is one."""
    top = st.container()  # shown first, but known only after the settings and the choice below
    others = st.container()
    settings = choose_settings()
    has_changed = settings != st.session_state.get("settings", settings)
    st.session_state.settings = settings
    if has_changed and in_gallery:
        st.rerun()
    with faults_told():
        with top, waiting("Writing the caption") as tell:
            best = engine.write(look, settings, tell)
            with others:
                caption = choose_caption(best)
            explained = engine.explain(look, caption, tell)
        with top:
            if is_unsure(caption):
                st.warning("The model is unsure about this caption: read it with care.", icon=":material/help:")
            show_viewer(look, caption, explained)
        offer_downloads(look, caption, best)


def choose_caption(best: Caption) -> Caption:
    """The best caption or one of its alternatives, with the probability of each."""
    captions = [best, *best.alternatives]
    if len(captions) == 1:
        return best
    with st.container(key="captions"):
        chosen = st.radio(
            "Captions it considered, best first",
            range(len(captions)),
            format_func=lambda index: captions[index].text,
            captions=[
                f"probability {percent(caption.log_prob)}, {percent(mean_of(caption))} a word" for caption in captions
            ],
            help="Of the whole sentence, and of a word on average. The order also weighs length, and how well a "
            "sentence agrees with the others and suits this photograph above others: see the settings.",
            width="stretch",
        )
    return captions[chosen]


def is_unsure(caption: Caption) -> bool:
    """Whether captions as unlikely as this one are measurably worse than others."""
    return mean_of(caption) < UNSURE


def mean_of(caption: Caption) -> float:
    """Mean natural log-probability of a caption's words and its end."""
    return word_mean(caption.log_prob, len(caption.words))
