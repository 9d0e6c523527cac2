"""Driving the page that needs no server in a browser, as its tests do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .browser import Page, opened

WATCH = """
window.violations = []
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.blockedURI))
"""

# Whether one sees what has the focus; the viewer's own style has a test of its own.
OUTLINE = """
const it = document.activeElement
const seen = it.id === "files" ? document.querySelector(".button") : it
return it.id === "viewer" || getComputedStyle(seen).outlineStyle !== "none"
"""


@contextmanager
def first_visitor(address: str, folder: Path) -> Iterator[Page]:
    """The page as a first visitor finds it; whatever its policy forbids is noted (`WATCH`)."""
    with opened(folder) as page:
        page.driver.set_script_timeout(60)
        page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        page.driver.get(address)
        is_ready(page)
        yield page


def is_ready(page: Page) -> None:
    """Wait until the page can be used."""
    page.until(lambda: page.all("html[data-ready]"))


def is_idle(page: Page) -> bool:
    """Whether the model has nothing to do."""
    return not page.all("#working:not([hidden]), #result[aria-busy=true]")


def visit(page: Page, address: str) -> None:
    """Load the page anew, and wait until the model, which is kept, is there."""
    page.driver.get(address)
    is_ready(page)
    page.until(lambda: not page.all("#loading:not([hidden])"))


def run(page: Page, body: str, *arguments: Any) -> Any:
    """What the body of an asynchronous function gives in the page; its arguments are `a`."""
    script = "const a = [...arguments], done = a.pop(); (async () => { %s })().then(done, (e) => done(`threw ${e}`))"
    return page.driver.execute_async_script(script % body, *arguments)


def downloaded(page: Page, pattern: str, button: str) -> Path:
    """The file that a click on a button saves."""
    before = set(page.downloads.glob(pattern))
    page.click(button)
    return page.until(
        lambda: (
            not list(page.downloads.glob("*.crdownload"))
            and next(
                (path for path in page.downloads.glob(pattern) if path not in before and path.stat().st_size), None
            )
        )
    )
