"""What both pages show: the one that Streamlit serves (`page/`), and the one without a server (`export/web/`)."""

from pathlib import Path

FOLDER = Path(__file__).parent
MOST_AT_ONCE = 24  # photographs that a page takes
FILES = ("viewer.html", "viewer.css", "viewer.js")


def read_viewer() -> tuple[str, str, str]:
    """The part of a page that shows a caption and its maps: its HTML, CSS and JavaScript (a module)."""
    html, css, js = ((FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    return html, css, js
