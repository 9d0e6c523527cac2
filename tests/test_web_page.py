"""Walks through the page that needs no server, with the real model in a real, headless Chromium."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from captioner import Caption
from captioner.rows import Csv, JsonLines

from .browser import Page
from .conftest import EXAMPLES, IN_A_BROWSER
from .test_browser import serious_findings
from .visiting import OUTLINE, downloaded, first_visitor, is_idle, is_ready, run, visit

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def browser(host, tmp_path_factory) -> Iterator[Page]:
    with first_visitor(host.address, tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def first_visit(browser, host) -> dict[str, Any]:
    """What the page says before the model is loaded, once it is given a photograph; then it is loaded."""
    seen = {"sent": host.sent, "text": browser.text()}
    browser.upload(EXAMPLES / "cat.jpg")
    browser.until(lambda: "The photograph waits" in browser.text())
    seen["focus"] = browser.driver.execute_script("return document.activeElement.textContent")
    browser.click("Load the model")
    told = "#loading p:not(.offer)"
    seen["loading"] = browser.until(lambda: " of " in (text := browser.all(told)[0].text) and text)
    browser.until(browser.viewer, 120)
    seen["sent then"] = host.sent
    return seen


@pytest.fixture
def page(browser, first_visit) -> Page:
    assert first_visit
    browser.emulate("light", 1280)
    return browser


@pytest.fixture(scope="module")
def wanted(bundled) -> Callable[..., Caption]:
    """Python's caption of an example, by its name and settings."""
    return functools.cache(lambda name, **settings: bundled.caption(EXAMPLES / f"{name}.jpg", **settings))


@pytest.fixture
def cat(page, wanted) -> Caption:
    """Python's caption of the photograph that the page then shows."""
    caption = wanted("cat")
    if page.viewer() != caption.text:
        page.upload(EXAMPLES / "cat.jpg")
    page.shows(caption.text)
    return caption


def test_the_size_of_the_download_is_told_before_it_starts(first_visit, site):
    listed = json.loads((site / "model" / "model.json").read_text())
    files = [*listed["files"].values(), *listed["runtime"]["builds"]["wasm"].values()]
    size = sum(file.get("packed", file["bytes"]) for file in files)
    assert f"Load the model ({size / 1e6:.0f} MB)" in first_visit["text"]
    assert first_visit["sent"] < 2e6  # nothing of it was loaded yet
    assert f"of {size / 1e6:.0f} MB" in first_visit["loading"]
    assert first_visit["focus"].startswith("Load the model")
    assert size <= first_visit["sent then"] - first_visit["sent"] < size + 2e6  # once


def test_the_caption_is_that_of_python(page, cat):
    assert page.viewer("return viewer.querySelector('.photo').alt") == cat.text
    shown = page.viewer("return [viewer.captioner.data.words, viewer.captioner.data.logProbs]")
    assert tuple(shown[0]) == cat.words
    assert shown[1] == pytest.approx(cat.log_probs, abs=0.02)
    assert page.all("#captions .choices label")[0].text.startswith(cat.text)


def test_words_show_maps_and_the_lesson(page, cat):
    page.choose_word(1)
    assert f"looked for “{cat.words[1]}”" in page.viewer("return viewer.querySelector('.looked').textContent")
    page.viewer("viewer.querySelector('details').open = true")
    assert page.viewer("return viewer.querySelectorAll('.candidate').length") == 5
    assert page.viewer("return viewer.querySelectorAll('.gate').length") == 3 + 3  # of both cells
    page.viewer("viewer.querySelector('details').open = false")


@pytest.mark.parametrize("width", [1280, 360])
def test_every_probability_of_the_lesson_has_one_line_and_a_bar_long_enough_to_compare(page, cat, width):
    page.emulate("light", width)
    page.viewer("viewer.querySelector('details').open = true")
    script = """
    const least = viewer.captioner.data.candidates[arguments[0]].at(-1)
    const logProb = least[1]
    least[1] = -20 // "< 0.01 %", than which no share is longer
    viewer.captioner.choose(arguments[0])
    least[1] = logProb
    const heights = [...viewer.querySelectorAll(".share-of .share")].map((share) => share.offsetHeight)
    const likeliest = viewer.querySelector(".candidate")
    const share = parseFloat(likeliest.querySelector(".share").textContent) / 100
    const whole = likeliest.querySelector(".bar").offsetWidth / share
    return [new Set(heights).size, whole / likeliest.offsetWidth, likeliest.scrollWidth - likeliest.offsetWidth]
    """
    seen = [page.viewer(script, place) for place in range(len(cat.words))]
    assert "< 0.01 %" in page.viewer("return viewer.querySelector('.recurrence').textContent")
    page.viewer("viewer.querySelector('details').open = false")
    page.viewer("viewer.captioner.choose(null)")
    assert {lines for lines, _, _ in seen} == {1}
    assert min(whole for _, whole, _ in seen) > 0.5
    assert {beyond for _, _, beyond in seen} == {0}


def test_an_alternative_is_shown_as_the_best_caption_is(page, cat):
    label = page.all("#captions .choices label")[1]
    text = label.text.split("\n")[0]
    label.click()
    page.shows(text)
    data = page.viewer("return viewer.captioner.data")
    assert text != cat.text
    assert len(data["maps"]) == len(data["words"]) == len(data["candidates"]) - 1
    assert text in page.driver.execute_script("return document.querySelector('#alt-html').value")
    page.all("#captions .choices label")[0].click()
    page.shows(cat.text)


def test_settings_write_anew(page, cat, wanted):
    from selenium.webdriver.common.keys import Keys

    page.open("Change how it writes")
    page.click("Plain")
    page.shows(wanted("cat", method="greedy").text)
    page.click("Likeliest")
    page.shows(cat.text)
    size = page.all("#setting-beamSize")[0]
    size.send_keys(Keys.ARROW_LEFT * 5)
    narrow = wanted("cat", beam_size=3)
    page.shows(narrow.text)
    page.until(lambda: len(page.all("#captions label")) == 1 + len(narrow.alternatives) and is_idle(page))
    size.send_keys(Keys.ARROW_RIGHT * 5)
    page.shows(cat.text)
    # The shortest cannot be longer than the longest.
    page.all("#setting-maximumLength")[0].send_keys(Keys.HOME)
    assert page.driver.execute_script("return document.querySelector('#setting-minimumLength').value") == "1"
    page.until(lambda: len(page.viewer("return viewer.captioner.data.words")) == 1)
    page.all("#setting-maximumLength")[0].send_keys(Keys.END)
    page.all("#setting-minimumLength")[0].send_keys(Keys.ARROW_RIGHT * 2)
    page.shows(cat.text)


def test_downloads(page, cat):
    page.open("Use it")
    page.choose_word(1)
    assert downloaded(page, "*.txt", "Text").read_text() == f"{cat.text}\n"
    written = json.loads(downloaded(page, "*.json", "JSON").read_text())
    assert list(written) == ["file", *cat.to_dict(), "alternatives"]
    assert written["words"] == list(cat.words)
    assert written["log_probs"] == pytest.approx(cat.log_probs, abs=0.02)
    assert [list(other) for other in written["alternatives"]] == [list(cat.to_dict())] * len(cat.alternatives)
    with Image.open(EXAMPLES / "cat.jpg") as photo, Image.open(downloaded(page, "*-2.png", "this map")) as marked:
        assert marked.size == photo.size
    with Image.open(downloaded(page, "*-attention.png", "Attention figure")) as figure:
        assert figure.width > figure.height / 4 > 50
    with Image.open(downloaded(page, "*.gif", "Attention walk")) as walk:
        assert walk.n_frames == len(cat.words) + 1
        frames = []
        for number in range(walk.n_frames):
            walk.seek(number)
            frames.append(walk.convert("RGB").tobytes())
            assert walk.info["duration"] == (1800 if number == walk.n_frames - 1 else 900)
        assert len(set(frames)) == len(frames)


def test_several_become_a_gallery_and_one_file(page, wanted, tmp_path):
    (tmp_path / "notes.jpg").write_text("no photograph")
    (tmp_path / "=1+1.jpg").write_bytes((EXAMPLES / "riders.jpg").read_bytes())
    page.upload(EXAMPLES / "kitchen.jpg", tmp_path / "notes.jpg", tmp_path / "=1+1.jpg")
    captions = [wanted(name) for name in ("kitchen", "riders")]
    page.shows(captions[0].text)
    assert "notes.jpg is not a photograph that can be read." in page.text()
    assert page.driver.execute_script("return document.querySelector('#problems').role") == "alert"
    record = downloaded(page, "*.csv", "CSV").read_bytes().splitlines(keepends=True)
    assert record[0] == Csv.header
    assert b"'=1+1.jpg" in record[2]
    from_csv = [Csv().read(line) for line in record[1:]]
    from_lines = [JsonLines().read(line) for line in downloaded(page, "*.jsonl", "JSONL").open("rb")]
    assert from_csv == from_lines
    for row, name, caption in zip(from_lines, ("kitchen.jpg", "=1+1.jpg"), captions, strict=True):
        assert list(row) == ["file", *caption.to_dict()]
        assert (row["file"], row["caption"]) == (name, caption.text)
        assert row["score"] == pytest.approx(caption.score, abs=0.02)
    page.click("2: look closer")
    page.shows(captions[1].text)
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "result")
    assert "2: shown below" in page.text()
    page.open("Change how it writes")
    page.click("Plain")
    plain = [wanted(name, method="greedy").text for name in ("kitchen", "riders")]
    tiles = "return [...document.querySelectorAll('#gallery li > span')].map((tile) => tile.textContent)"
    page.until(lambda: [tile.removesuffix(" (unsure)") for tile in page.driver.execute_script(tiles)] == plain)
    assert "2: shown below" in page.text()
    page.click("Likeliest")
    page.shows(captions[1].text)


def test_photographs_can_be_dropped_and_pasted(page, wanted):
    for name, event in (("tennis", "drop"), ("skier", "paste")):
        script = """
        const data = new DataTransfer()
        const content = await (await fetch(`examples/${a[0]}.jpg`)).blob()
        data.items.add(new File([content], "given.jpg", { type: "image/jpeg" }))
        const how = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data }
        const event = a[1] === "drop" ? new DragEvent("drop", how) : new ClipboardEvent("paste", how)
        document.body.dispatchEvent(event)
        return event.defaultPrevented
        """
        assert run(page, script, name, event) is True
        page.shows(wanted(name).text)


def test_an_example_is_given_by_keys_alone(page, wanted):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open("Examples to try")
    page.driver.execute_script("const top = document.querySelector('h1'); top.tabIndex = -1; top.focus()")
    reached = {}
    for _ in range(60):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        focused = page.driver.switch_to.active_element
        reached[focused.accessible_name] = focused
        assert page.driver.execute_script(OUTLINE), focused.accessible_name
        if "About this model" in reached:
            break
    names = " ".join(reached)
    for name in ("Choose photographs", "Use the camera", "Examples to try", "Desk", "Change how it writes", "Use it"):
        assert name in names
    reached["Desk"].send_keys(Keys.ENTER)
    page.shows(wanted("desk").text)
    # From where it was, which has gone, to the caption: the next key goes to its first word.
    page.until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "result" and is_idle(page))
    assert page.driver.execute_script(OUTLINE)
    ActionChains(page.driver).send_keys(Keys.TAB).perform()
    assert page.viewer("return viewer.getRootNode().activeElement === viewer.querySelector('.word')")


@pytest.mark.usefixtures("cat")
def test_it_says_that_it_works_where_the_settings_are_too(page):
    page.open("Change how it writes")
    script = """
    const working = document.querySelector("#working")
    working.hidden = false
    document.querySelector("#setting-blockNgram").scrollIntoView({ block: "end" })
    const { top, bottom } = working.getBoundingClientRect()
    working.hidden = true
    return [scrollY, top, bottom, innerHeight]
    """
    scrolled, top, bottom, height = page.driver.execute_script(script)
    page.click("Change how it writes")
    assert scrolled > 400
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
@pytest.mark.usefixtures("cat")
def test_no_serious_finding_of_accessibility(page, theme, width, tmp_path):
    page.emulate(theme, width)
    text = tmp_path / "notes.jpg"
    text.write_text("no photograph")
    page.upload(EXAMPLES / "cat.jpg", EXAMPLES / "gull.jpg", text)
    page.until(lambda: page.all("#gallery:not([hidden])") and is_idle(page))
    page.driver.execute_script("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    page.viewer("viewer.querySelector('details').open = true")
    page.viewer("viewer.captioner.choose(1)")
    for hidden in ("loading", "newer", "working", "camera"):
        page.driver.execute_script(f"document.querySelector('#{hidden}').hidden = false")
    found = serious_findings(page)
    sizes = page.driver.execute_script(
        "const all = [...document.querySelectorAll('button, summary, a'), "
        "...document.querySelector('#viewer').shadowRoot.querySelectorAll('button')]\n"
        "return [document.documentElement.scrollWidth,"
        " Math.min(...all.filter((b) => b.offsetHeight && b.tagName !== 'A').map((b) => b.offsetHeight))]"
    )
    for hidden in ("loading", "newer", "working", "camera"):
        page.driver.execute_script(f"document.querySelector('#{hidden}').hidden = true")
    assert not found
    assert sizes[0] <= width  # no scrolling sideways
    assert sizes[1] >= 24  # large enough for a finger, says WCAG 2.2


def test_it_works_without_network(page, host, wanted):
    host.cut = True
    try:
        visit(page, host.address)
        assert "work without network" in page.text()
        page.click("Motorcycle")
        page.shows(wanted("motorcycle").text)
    finally:
        host.cut = False


def test_another_program_can_share_a_photograph_with_it(page, host, site, wanted):
    visit(page, host.address)
    script = """
    const data = new DataTransfer()
    const content = await (await fetch("examples/gull.jpg")).blob()
    data.items.add(new File([content], "from a phone.jpg", { type: "image/jpeg" }))
    const form = document.createElement("form")
    Object.assign(form, { method: "post", enctype: "multipart/form-data", action: "share" })
    const input = form.appendChild(document.createElement("input"))
    Object.assign(input, { type: "file", name: "photographs", files: data.files })
    document.body.append(form)
    setTimeout(() => form.submit())
    """
    declared = json.loads((site / "manifest.webmanifest").read_text())["share_target"]
    assert (declared["action"], declared["method"]) == ("share", "POST")
    assert declared["params"]["files"][0]["name"] == "photographs"
    run(page, script)
    page.shows(wanted("gull").text)
    assert "from%20a%20phone.jpg" in page.driver.execute_script("return document.querySelector('#alt-html').value")
    assert page.driver.current_url == host.address


@pytest.mark.usefixtures("cat")
def test_nothing_is_stored_but_the_model_and_the_page(page, site):
    script = """
    const names = await caches.keys()
    const kept = (await Promise.all(names.map(async (name) => (await caches.open(name)).keys()))).flat()
    const bases = indexedDB.databases ? await indexedDB.databases() : []
    return [names, kept.map((request) => new URL(request.url).pathname.slice(1)), localStorage.length, bases.length]
    """
    names, kept, local, bases = run(page, script)
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert len(names) == 2
    assert "model/step.onnx.packed" in kept
    assert set(kept) <= files
    assert not any("webgpu" in name or "jspi" in name for name in kept)  # this browser needs another one
    assert (local, bases) == (0, 0)


@pytest.mark.usefixtures("cat")
def test_the_policy_allows_nothing_from_elsewhere_and_is_never_violated(page, host):
    assert page.driver.execute_script("return violations") == []
    assert not [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    own = (host.address, "data:", "blob:", "chrome:")
    assert not [url for url in page.requests() if not url.startswith(own)]
    assert run(page, "return fetch('https://example.org/').then(() => 'let', () => 'kept')") == "kept"
    assert run(page, "return new Promise((done) => setTimeout(() => done(violations.length), 200))") >= 1
    # The worker is bound as well, by what the service worker sends with it.
    header = "return (await fetch('core/worker.js')).headers.get('Content-Security-Policy')"
    assert "connect-src 'self';" in run(page, header)
    page.driver.execute_script("violations.length = 0")


def test_a_new_version_takes_the_place_of_the_old(page, host, site):
    visit(page, host.address)
    (before,) = [name for name in run(page, "return caches.keys()") if " page " in name]
    digest = before.split()[-1]
    worker = (site / "service-worker.js").read_text().replace(digest, "0123456789abcdef")
    index = (site / "index.html").read_text().replace("<title>", "<title>New ")
    host.newer = {"/service-worker.js": worker.encode(), "/index.html": index.encode()}
    sent = host.sent
    try:
        run(page, "return navigator.serviceWorker.getRegistration().then((it) => it.update()).then(() => 1)")
        page.until(lambda: page.all("#newer:not([hidden])"))
        assert page.driver.title == "Captioner"
        page.click("Use it", "#newer button")
        page.until(lambda: page.driver.title == "New Captioner")
        is_ready(page)
        page.until(lambda: not page.all("#loading:not([hidden])"))
        names = run(page, "return caches.keys()")
        assert before not in names
        assert len(names) == 2
        assert host.sent - sent < 2e6  # the model is the same, and was not loaded again
    finally:
        host.newer = {}
        run(page, "return navigator.serviceWorker.getRegistration().then((it) => it.update()).then(() => 1)")
