"""The page that needs no server where something is amiss, and its texts and icons: without a model, mostly."""

import io
import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from PIL import Image

from .browser import Page
from .conftest import EXAMPLES, IN_A_BROWSER
from .visiting import first_visitor, is_ready, run

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def page(host, tmp_path_factory) -> Iterator[Page]:
    with first_visitor(host.address, tmp_path_factory.mktemp("browser")) as page:
        yield page


def test_texts_are_those_of_python(page):
    from captioner.certainty import percent
    from captioner.page.downloads import alt_html, alt_markdown
    from captioner.rows import rows_file

    names = ["a.jpg", 'söme "one"\'s (2)*!~.jpg', "a/b&c<d>.png", "=1+1,2.jpg", "'@x\n.jpg"]
    told = {"A man's [hat]\\.": ("a", "man"), '=It\'s "a", b.': ("it", "'s")}
    captions = [SimpleNamespace(text=text, words=words) for text, words in told.items()]
    for caption in captions:
        for name in names:
            found = run(
                page,
                "const texts = await import('/page/texts.js'); return [texts.altHtml(...a), texts.altMarkdown(...a)]",
                name,
                caption.text,
            )
            assert found == [alt_html(name, caption), alt_markdown(name, caption)]
    values = [-0.0001, -0.5, -2.31, -4.7, -9.9, -20]
    assert run(page, "const { percent } = await import('/page/texts.js'); return a[0].map(percent)", values) == [
        percent(value) for value in values
    ]
    rows = [{"file": name, "caption": captions[1].text, "words": ["it", "'s"]} for name in names]
    found = run(page, "const { rowsFile } = await import('/page/texts.js'); return rowsFile(a[0], 'csv')", rows)
    wanted = rows_file(rows, ".csv").decode()
    assert found.replace('[""it"",""\'s""]', '[""it"", ""\'s""]') == wanted


def test_without_webassembly_it_says_so(page, host):
    source = {"source": "delete globalThis.WebAssembly"}
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        page.driver.get(host.address)
        is_ready(page)
        assert "This browser has no WebAssembly" in page.text()
        assert not page.all("#loading button:not([hidden])")
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_a_model_that_cannot_be_loaded_can_be_tried_again(page, host, bundled):
    page.driver.get(host.address)
    is_ready(page)
    host.cut = True
    try:
        page.click("Load the model")
        page.until(lambda: "The model cannot be loaded." in page.text())
    finally:
        host.cut = False
    loading = page.all("#loading")[0]
    assert "problem" in loading.get_attribute("class").split()
    assert loading.text.index("cannot be loaded") < loading.text.index("Try again")
    page.upload(EXAMPLES / "tennis.jpg")
    page.until(lambda: "The photograph waits" in loading.text)
    page.click("Try again")
    page.shows(bundled.caption(EXAMPLES / "tennis.jpg").text)


def test_the_icons_are_pictures_of_their_size(site):
    for icon in json.loads((site / "manifest.webmanifest").read_text())["icons"]:
        path = site / icon["src"]
        if icon["type"] == "image/png":
            with Image.open(io.BytesIO(path.read_bytes())) as picture:
                assert "x".join(map(str, picture.size)) == icon["sizes"]
        else:
            assert path.read_text().startswith("<svg")
