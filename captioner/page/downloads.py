"""Ways to use a caption: alt text to paste, and files. Nothing in them comes from the photograph's metadata."""

import html
import io
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from captioner import Caption, attention_figure, attention_walk, save_walk

from .engine import Look


def offer_downloads(look: Look, caption: Caption, best: Caption) -> None:
    """Alt text as HTML and Markdown, and the caption, its figure and its walk as files."""
    stem = Path(look.name).stem or "photograph"
    with st.expander("Use it: alt text, downloads"):
        markup, markdown = st.tabs(["HTML", "Markdown"])
        markup.code(alt_html(look.name, caption), language=None, wrap_lines=True)
        markdown.code(alt_markdown(look.name, caption), language=None, wrap_lines=True)
        with st.container(horizontal=True):
            save = download_button
            save("Text", caption.text + "\n", f"{stem}.txt", "text/plain")
            save("JSON", caption_json(look.name, caption, best), f"{stem}.json", "application/json")
            save("Attention figure (PNG)", lambda: figure_png(look, caption), f"{stem}-attention.png", "image/png")
            save("Attention walk (GIF)", lambda: walk_gif(look, caption), f"{stem}-attention.gif", "image/gif")


def download_button(label: str, data: str | bytes | Callable[[], bytes], name: str, kind: str) -> None:
    """A button that saves a file, and draws nothing anew; a function is called when it is clicked."""
    st.download_button(label, data, name, kind, on_click="ignore", icon=":material/download:")


def alt_html(name: str, caption: Caption) -> str:
    """An `img` tag with the caption as alternative text."""
    source = html.escape(urllib.parse.quote(name), quote=True)
    return f'<img src="{source}" alt="{html.escape(caption.text, quote=True)}">'


def alt_markdown(name: str, caption: Caption) -> str:
    """A Markdown image with the caption as alternative text."""
    text = caption.text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return f"![{text}]({urllib.parse.quote(name)})"


def caption_json(name: str, caption: Caption, best: Caption) -> str:
    """The caption, and the others that it was chosen from."""
    others = [other.to_dict() for other in (best, *best.alternatives) if other is not caption]
    row = {"file": name} | caption.to_dict() | {"alternatives": others}
    return json.dumps(row, ensure_ascii=False, indent=1)


def figure_png(look: Look, caption: Caption) -> bytes:
    """All maps as one picture."""
    file = io.BytesIO()
    attention_figure(look.photo, caption).save(file, "PNG")
    return file.getvalue()


def walk_gif(look: Look, caption: Caption) -> bytes:
    """The maps one after the other, as an animation."""
    file = io.BytesIO()
    save_walk(attention_walk(look.photo, caption), file)
    return file.getvalue()
