"""An honest word about the model."""

from pathlib import Path

import streamlit as st

from captioner.viewer.about import WEAK, about_model

from .engine import Engine, is_bundled

CARD = Path(__file__).parents[2] / "MODEL_CARD.md"


def show_about(engine: Engine) -> None:
    """What the model was trained on, how good it is, and what it is bad at."""
    origin, scores = engine.captioner.origin, engine.captioner.scores
    bundled = is_bundled()
    with st.expander("About this model"):
        paragraphs, weak = about_model(
            engine.captioner.config.encoder.name, len(engine.captioner.vocabulary), origin, scores, bundled
        )
        for paragraph in paragraphs:
            st.write(paragraph)
        st.write(f"**{WEAK}** {weak}")
        known = bundled and CARD.exists()
        if known and st.button("Read the model card", type="tertiary", icon=":material/description:"):
            show_card()


@st.dialog("Model card", width="large")
def show_card() -> None:
    """The whole card."""
    st.markdown(CARD.read_text(encoding="utf-8"))
