"""An honest word about the model."""

from pathlib import Path

import streamlit as st

from .engine import Engine, is_bundled

CARD = Path(__file__).parents[2] / "MODEL_CARD.md"


def show_about(engine: Engine) -> None:
    """What the model was trained on, how good it is, and what it is bad at."""
    origin, scores = engine.captioner.origin, engine.captioner.scores
    bundled = is_bundled()
    with st.expander("About this model"):
        st.write(
            f"A convolutional network ({engine.captioner.config.encoder.name}) turns the photograph into a grid of "
            f"features; a recurrent network with attention writes the sentence from "
            f"{len(engine.captioner.vocabulary):,} words."
        )
        if origin.get("photographs"):
            st.write(
                f"It learned from {origin['photographs']:,} photographs with {origin.get('captions', 0):,} captions "
                "by people" + (": mostly people and dogs outdoors, and everyday scenes." if bundled else ".")
            )
        if "CIDEr-D" in scores and "BLEU-4" in scores:
            st.write(
                f"On photographs that it did not learn from, but was chosen on, it has BLEU-4 {scores['BLEU-4']:.1f} "
                f"and CIDEr-D {scores['CIDEr-D']:.1f}. One person's caption judged by others' has a CIDEr-D of 79 to "
                "97, so it is often wrong where a person would not be."
            )
        st.write(
            "**What it is bad at:** rare things, which it takes for common ones of similar shape; colours of clothes; "
            "counting beyond two; small things. It cannot read, knows no names, and describes drawings, screenshots "
            "and documents as if they were photographs. Whether it says “man”, “woman”, “boy” or “girl” is a guess "
            "from looks. Do not decide anything about people with it, and read its alt text before you publish it."
        )
        known = bundled and CARD.exists()
        if known and st.button("Read the model card", type="tertiary", icon=":material/description:"):
            show_card()


@st.dialog("Model card", width="large")
def show_card() -> None:
    """The whole card."""
    st.markdown(CARD.read_text(encoding="utf-8"))
