"""A page to look at: photographs with references, captions and attention maps, as one HTML file.

Photographs and maps are inside the file, so that it can be moved; hovering over a word, or reaching it with
the tab key, shows the map it was written with.
"""

import html
from collections.abc import Mapping
from pathlib import Path

import numpy
from PIL import Image

from captioner import Caption
from captioner.batch.review import data_address
from captioner.errors import PhotoError
from captioner.photo import open_photo

from ..data.captions import Example

SIDE = 320  # pixels of a photograph's longer side

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222;
  background: #fff }
article { display: flex; flex-wrap: wrap; gap: 1.5rem; padding: 1.5rem 0; border-top: 1px solid #ccc }
figure { position: relative; margin: 0; align-self: flex-start; line-height: 0 }
figure .map { position: absolute; inset: 0; width: 100%; height: 100%; display: none; background: rgb(0 0 0 / .45) }
figure .map.shown { display: block }
.text { flex: 1 1 18rem }
.caption { font-size: 1.25rem; margin: 0 }
.caption span { border-radius: .25em; padding: .05em .1em; cursor: default }
.caption span:hover, .caption span:focus { background: #ffd54f; outline: none }
ul { padding-left: 1.2rem; color: #555 }
.score { font-variant-numeric: tabular-nums; color: #555 }
"""

SCRIPT = """
for (const word of document.querySelectorAll(".caption span")) {
  const show = (shown) => () => document.getElementById(word.dataset.map).classList.toggle("shown", shown);
  for (const [event, shown] of [["mouseenter", 1], ["mouseleave", 0], ["focus", 1], ["blur", 0]])
    word.addEventListener(event, show(Boolean(shown)));
}
"""


def write_page(
    path: Path,
    examples: list[Example],
    captions: Mapping[int | str, Caption],
    scores: Mapping[int | str, float],
    limit: int = 100,
) -> None:
    """Write the page: the lowest CIDEr-D first, then the highest, `limit` photographs in all.

    Args:
        path: where to write it.
        examples: photographs with their references.
        captions: what the model said of them.
        scores: CIDEr-D of each, times 100.
        limit: how many photographs to show; all of them, worst first, if there are no more.
    """
    known = {example.photo_id: example for example in examples if example.photo_id in captions}
    ranked = sorted(known, key=lambda key: scores[key])
    best = limit // 2
    groups = {"Worst first": ranked}
    if len(ranked) > limit:
        groups = {"Worst": ranked[: limit - best], "Best": ranked[len(ranked) - best :][::-1]}
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Captions</title><style>{STYLE}</style>",
        f"<h1>{len(known)} photographs, mean CIDEr-D {numpy.mean([scores[key] for key in known]):.1f}</h1>",
        "<p>Point at a word, or reach it with the tab key, to see where the model looked when it wrote it.</p>",
    ]
    for title, keys in groups.items():
        parts.append(f"<h2>{title}</h2>")
        parts += [article(known[key], captions[key], scores[key]) for key in keys]
    path.write_text("\n".join([*parts, f"<script>{SCRIPT}</script></html>"]) + "\n", encoding="utf-8")


def article(example: Example, caption: Caption, score: float) -> str:
    """One photograph's part of the page."""
    try:
        photo = open_photo(example.path)
    except PhotoError as error:
        return f"<article><p>{html.escape(str(error))}</p></article>"
    photo.thumbnail((SIDE, SIDE))
    identity = html.escape(str(example.photo_id), quote=True)
    maps, words = [], []
    for place, (word, log_prob) in enumerate(zip(caption.words, caption.log_probs, strict=True)):
        name = f"map-{identity}-{place}"
        maps.append(f'<img class=map id="{name}" alt="" src="{data_address(glow(caption.attention[place]), "PNG")}">')
        hint = f"probability {numpy.exp(log_prob):.2f}"
        words.append(f'<span tabindex=0 data-map="{name}" title="{hint}">{html.escape(word)}</span>')
    references = "".join(f"<li>{html.escape(text)}</li>" for text in example.captions)
    alt = html.escape(caption.text, quote=True)
    return (
        f'<article><figure><img src="{data_address(photo, "JPEG")}" alt="{alt}">{"".join(maps)}</figure>'
        f"<div class=text><p class=caption>{' '.join(words)}</p><ul>{references}</ul>"
        f"<p class=score>CIDEr-D {score:.1f} &middot; {html.escape(example.path.name)}</p></div></article>"
    )


def glow(attention: numpy.ndarray) -> Image.Image:
    """A map (H, W) as a small yellow picture, the more opaque the more attention; the page enlarges it smoothly."""
    strength = attention / max(float(attention.max()), 1e-9)
    colours = numpy.broadcast_to(numpy.array((255, 213, 79), dtype=numpy.uint8), (*attention.shape, 3))
    opacity = (200 * strength).astype(numpy.uint8)[..., None]
    return Image.fromarray(numpy.concatenate([colours, opacity], -1))
