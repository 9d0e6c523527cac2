"""Make the pictures of the page: python -m benchmarks.screenshot [PHOTO] [--word N] [--output DIR] [--site SITE].

Starts the page, gives it a photograph in a headless Chromium, chooses a word, and saves it light, dark, and at a
phone's width; and the walk through all words as a short animation. With --site, the page is not Streamlit's but the one
that `python -m captioner export --format web SITE` wrote, and there is no animation.
"""

import argparse
import io
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from captioner import save_walk
from tests.browser import ROOT, Page, opened, served
from tests.hosting import hosted

VIEWS = {"light": (1280, 1010), "dark": (1280, 1010), "phone": (390, 1500)}
PATIENCE = 1.5  # seconds in which transitions end


def look(page: Page, address: str, photo: Path, view: str, site: bool) -> None:
    """Open the page in one of the views, and wait for the photograph's caption."""
    page.emulate("dark" if view == "dark" else "light", *VIEWS[view])
    page.driver.get(address)
    if site:
        page.until(lambda: page.all("html[data-ready]"))
    page.upload(photo)
    if site and view == "light":  # then it is kept
        page.click("Load the model")
    page.until(page.viewer)
    time.sleep(PATIENCE)


def take(page: Page, word: int, target: Path) -> None:
    """One picture of the window after a word was chosen."""
    page.choose_word(word)
    page.driver.execute_script("(document.querySelector('.stMain') ?? window).scrollTo(0, 0)")
    time.sleep(PATIENCE)
    page.driver.save_screenshot(str(target))


def animate(page: Page, target: Path) -> None:
    """An animation of the viewer while the walk goes from word to word."""
    frames = []
    count = page.viewer("return viewer.captioner.data.words.length")
    for place in (None, *range(count)):
        page.viewer("viewer.captioner.choose(arguments[0])", place)
        time.sleep(0.3)
        corners = page.viewer(
            "const all = [...viewer.querySelectorAll('.picture, .told')].map((part) => part.getBoundingClientRect())\n"
            "return [Math.min(...all.map((box) => box.left)), Math.min(...all.map((box) => box.top)),"
            " Math.max(...all.map((box) => box.right)), Math.max(...all.map((box) => box.bottom))]"
        )
        window = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB")
        left, top, right, bottom = map(int, corners)
        frame = window.crop((left - 8, top - 8, right + 8, bottom + 8))
        frames.append(frame.resize((frame.width * 3 // 4, frame.height * 3 // 4)))
    with target.open("wb") as file:
        save_walk(frames, file)


def main() -> None:
    """Serve, look, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", type=Path, default=ROOT / "captioner" / "examples" / "riders.jpg")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "screenshots")
    parser.add_argument("--word", type=int, default=3, help="which word to choose, from 0 (%(default)s)")
    parser.add_argument("--site", type=Path, help="the folder of a page without a server")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if arguments.site:
            address = stack.enter_context(hosted(arguments.site)).address
        else:
            address, _ = stack.enter_context(served())
        page = stack.enter_context(opened(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for view in VIEWS:
            look(page, address, arguments.photo, view, bool(arguments.site))
            take(page, arguments.word, arguments.output / f"{'web-' if arguments.site else ''}{view}.png")
            if view == "light" and not arguments.site:
                animate(page, arguments.output / "walk.gif")


if __name__ == "__main__":
    main()
