"""The page: drop a photograph, read its caption, choose a word and see where the model looked."""

import io
import json
import math
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from captioner import (
    PHOTO_SUFFIXES,
    Caption,
    Captioner,
    CaptionerError,
    SearchConfig,
    attention_figure,
    open_photo,
    overlay_attention,
)

EXAMPLES = Path(__file__).parent / "captioner" / "examples"
CREDITS = {
    "cat": "Stéfan van der Walt, CC0",
    "coffee": "Rachel Michetti, CC0",
    "astronaut": "NASA, public domain",
    "rocket": "SpaceX, public domain",
}
FILES, CAMERA, SAMPLES = "Your photographs", "Camera", "Examples"
# Below this mean word probability lies a tenth of the validation photographs; their captions have CIDEr-D 33,
# those of the likelier half 71.
UNSURE = math.log(0.28)


@st.cache_resource(show_spinner="Loading the model …")
def load_captioner() -> Captioner:
    """The bundled model, once for all visitors; nobody writes to it."""
    return Captioner.load()


@st.cache_resource(max_entries=48, show_spinner="Looking at the photograph …")
def look(data: bytes, name: str) -> tuple[Image.Image, Any]:
    """The photograph at display size and its grid; the expensive part, once for each photograph.

    Found again by content (and name, which errors tell); at most 48 are kept, about 3 MB each.
    """
    photo = open_photo(data, name)
    return photo, load_captioner().encode([photo])


@st.cache_data(max_entries=256, show_spinner=False)
def write(data: bytes, name: str, settings: dict[str, Any]) -> Caption:
    """The caption; the cheap part, again whenever a setting changes."""
    return load_captioner().decode(look(data, name)[1], **settings)[0]


def choose_photographs() -> list[tuple[str, bytes]]:
    """Names and contents of what the visitor gave."""
    source = st.segmented_control(
        "Photograph from", [FILES, CAMERA, SAMPLES], default=FILES, required=True, label_visibility="collapsed"
    )
    if source == FILES:
        kinds = [suffix.removeprefix(".") for suffix in PHOTO_SUFFIXES]
        files = st.file_uploader("Drop photographs here", kinds, accept_multiple_files=True, key="files")
        return [(file.name, file.getvalue()) for file in files]
    if source == CAMERA:
        shot = st.camera_input("Take a picture", key="camera")
        return [(shot.name, shot.getvalue())] if shot else []
    name = st.pills("Example", list(CREDITS), default="cat", required=True, format_func=str.capitalize, key="example")
    st.caption(f"Photograph: {CREDITS[name]}")
    return [(f"{name}.jpg", (EXAMPLES / f"{name}.jpg").read_bytes())]


def choose_settings() -> dict[str, Any]:
    """The settings of the search, from the sidebar."""
    defaults = SearchConfig()
    with st.sidebar:
        st.header("Settings")
        method = st.radio(
            "How to search",
            ["beam", "greedy", "sample"],
            format_func={"beam": "Beam search", "greedy": "Greedy", "sample": "Sampling"}.get,
            captions=["keeps the likeliest sentences", "always the likeliest next word", "draws words, more daring"],
        )
        settings: dict[str, Any] = {"method": method}
        if method == "beam":
            settings["beam_size"] = st.slider("Beam size", 2, 10, defaults.beam_size)
        if method == "sample":
            settings["beam_size"] = st.slider("Captions to draw", 1, 10, 5)
            settings["temperature"] = st.slider("Temperature", 0.1, 2.0, defaults.temperature, 0.1)
            settings["top_p"] = st.slider("Top-p", 0.1, 1.0, defaults.top_p, 0.05)
            settings["seed"] = st.number_input("Seed", 0, 2**31, defaults.seed)
        lengths = st.slider("Words, at least and at most", 1, 40, (defaults.minimum_length, defaults.maximum_length))
        settings["minimum_length"], settings["maximum_length"] = lengths
        settings["length_penalty"] = st.slider(
            "Length penalty", 0.0, 2.0, defaults.length_penalty, 0.1, help="Higher values favour longer sentences."
        )
        settings["block_ngram"] = st.slider(
            "Never repeat a phrase of … words", 0, 5, defaults.block_ngram, help="0 allows repetition."
        )
        settings["alternatives"] = st.slider("Alternatives", 0, 9, defaults.alternatives)
    return settings


def percent(log_prob: float) -> str:
    """A natural log-probability as a percentage with two significant digits, however small."""
    value = 100 * math.exp(log_prob)
    decimals = 0 if value >= 10 else 1 - math.floor(math.log10(max(value, 1e-12)))
    return f"{value:.{decimals}f} %"


def word_mean(caption: Caption) -> float:
    """Mean natural log-probability of a caption's words and its end."""
    return caption.log_prob / (len(caption.words) + 1)


def show_result(name: str, data: bytes, settings: dict[str, Any]) -> None:
    """Photograph, caption, words and maps, alternatives, downloads."""
    photo, _ = look(data, name)
    best = write(data, name, settings)
    picture, text = st.columns([1, 1], gap="large")
    with text:
        above = st.container()  # shown first, but known only after an alternative may have been chosen
        caption = choose_caption(best)
    with above:
        st.header(caption.text)
        if word_mean(caption) < UNSURE:
            st.info("The model is unsure about this photograph; read the caption with care.")
        word = choose_word(caption)
    with picture:
        if word is None:
            st.image(photo, width="stretch", alt=caption.text)
        else:
            frame = st.container()  # the picture stands above the slider that it depends on
            strength = st.slider("Strength of the map", 0.0, 1.0, 0.75, 0.05)
            with frame:
                shown = overlay_attention(photo, caption.attention[word], strength)
                st.image(shown, width="stretch", alt=caption.text)
                probability = percent(caption.log_probs[word])
                st.caption(f"Where the model looked for “{caption.words[word]}” (probability {probability})")
    offer_downloads(name, photo, caption, best)


def choose_caption(best: Caption) -> Caption:
    """The best caption or one of its alternatives, with the probability of each."""
    captions = [best, *best.alternatives]
    if len(captions) == 1:
        return best
    chosen = st.radio(
        "Captions the model considered, best first",
        range(len(captions)),
        format_func=lambda index: captions[index].text,
        captions=[
            f"probability {percent(caption.log_prob)}, {percent(word_mean(caption))} a word" for caption in captions
        ],
        help="Of the whole sentence, and of a word on average. The order balances the two: see the length penalty.",
    )
    return captions[chosen]


def choose_word(caption: Caption) -> int | None:
    """Which word's map to show; None shows the photograph as it is."""
    # The widget tells its options apart by their text, so repeated words get invisible marks.
    labels = [word + "\u200b" * caption.words[:place].count(word) for place, word in enumerate(caption.words)]
    return st.pills(
        "Choose a word to see where the model looked", range(len(labels)), format_func=labels.__getitem__, key="word"
    )


def offer_downloads(name: str, photo: Image.Image, caption: Caption, best: Caption) -> None:
    """The caption as text and JSON, the attention maps as a picture."""
    stem = Path(name).stem or "photograph"
    others = [other.to_dict() for other in (best, *best.alternatives) if other is not caption]
    row = {"file": name} | caption.to_dict() | {"alternatives": others}

    def figure() -> bytes:
        file = io.BytesIO()
        attention_figure(photo, caption).save(file, "PNG")
        return file.getvalue()

    with st.container(horizontal=True):
        st.download_button("Caption (text)", caption.text + "\n", f"{stem}.txt", "text/plain", on_click="ignore")
        text = json.dumps(row, ensure_ascii=False, indent=1)
        st.download_button("Caption (JSON)", text, f"{stem}.json", "application/json", on_click="ignore")
        st.download_button("Attention maps (PNG)", figure, f"{stem}-attention.png", "image/png", on_click="ignore")


def show_all(photographs: list[tuple[str, bytes]], settings: dict[str, Any]) -> None:
    """One photograph in full; of several, all captions in a table and the chosen one in full."""
    good, rows = [], []
    for name, data in photographs:
        try:
            rows.append({"file": name, "caption": write(data, name, settings).text})
            good.append((name, data))
        except CaptionerError as error:
            st.error(str(error))
    if not good:
        return
    chosen = 0
    if len(good) > 1:
        st.dataframe(rows, hide_index=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        st.download_button("All captions (JSON lines)", lines, "captions.jsonl", on_click="ignore")
        chosen = st.selectbox("Look closer at", range(len(good)), format_func=lambda index: good[index][0])
    show_result(*good[chosen], settings)


def main() -> None:
    """The page from top to bottom."""
    st.set_page_config("Captioner", "🖼️", layout="wide", initial_sidebar_state="collapsed")
    st.title("Captioner")
    st.write("Give it a photograph: it says in a sentence what is there, and shows, word by word, where it looked.")
    try:
        load_captioner()
    except CaptionerError as error:
        st.error(str(error))
        st.stop()
    settings = choose_settings()
    photographs = choose_photographs()
    if not photographs:
        st.caption("No photograph at hand? Try the examples. Nothing you give is stored or passed on.")
        st.stop()
    show_all(photographs, settings)


main()
