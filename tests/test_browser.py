"""Walks through the page in a real, headless Chromium."""

import re
from collections.abc import Iterator

import pytest
from PIL import Image

from .browser import Page, opened, served
from .conftest import EXAMPLES, IN_A_BROWSER

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served() as (where, _):
        yield where


@pytest.fixture(scope="module")
def page(address, tmp_path_factory) -> Iterator[Page]:
    with opened(tmp_path_factory.mktemp("browser")) as browser:
        browser.driver.get(address)
        browser.until(lambda: browser.all("input[type=file]"))
        yield browser


@pytest.fixture(autouse=True)
def ordinary_window(page):
    page.emulate("light", 1280)


@pytest.fixture
def cat(page, on_the_page, examples):
    """The caption of the photograph that the page then shows."""
    caption = on_the_page.caption(examples[0])
    if page.viewer() != caption.text:
        page.upload(examples[0])
    page.shows(caption.text)
    return caption


def test_first_screen_works_at_once(page, on_the_page):
    assert "where it looked" in page.text()
    page.click("Riders")
    page.shows(on_the_page.caption(EXAMPLES / "riders.jpg").text)


def test_a_word_shows_its_map(page, cat):
    assert page.viewer("return viewer.querySelector('.photo').alt") == cat.text
    assert cat.text in page.until(lambda: page.viewer("return viewer.querySelector('.announcement').textContent"))
    drawn = set()
    for place in (0, len(cat.words) - 1):
        page.choose_word(place)
        assert f"looked for “{cat.words[place]}”" in page.viewer("return viewer.querySelector('.looked').textContent")
        assert not page.viewer("return viewer.querySelector('.map').hidden")
        drawn.add(page.viewer("return viewer.querySelector('.map').toDataURL()"))
    assert len(drawn) == 2
    peak = cat.attention[-1].argmax()  # the brightest place of the map is where the model looked most
    script = """
    const canvas = viewer.querySelector('.map'), {width, height} = canvas
    const opacity = canvas.getContext('2d').getImageData(0, 0, width, height).data.filter((_, at) => at % 4 === 3)
    const at = opacity.indexOf(Math.max(...opacity))
    return [Math.floor(at / width) / height, (at % width) / width]
    """
    row, column = page.viewer(script)
    rows, columns = cat.attention.shape[1:]
    assert abs(row * rows - (peak // columns + 0.5)) <= 1
    assert abs(column * columns - (peak % columns + 0.5)) <= 1


def test_play_walks_through_the_words_and_stops(page, cat):
    page.viewer("viewer.querySelector('.play').click()")
    page.until(lambda: page.viewer("return viewer.captioner.chosen") == 2, 10)
    page.viewer("viewer.querySelector('.play').click()")
    assert page.viewer("return viewer.querySelector('.play').textContent") == "Play the walk"
    assert len(page.viewer("return [...viewer.querySelectorAll('.strip canvas')]")) == len(cat.words)


def test_keys_reach_the_words(page, cat):
    from selenium.webdriver.common.keys import Keys

    page.viewer("viewer.captioner.choose(null)")
    word = page.viewer("return viewer.querySelector('.word')")
    word.send_keys(Keys.ENTER)
    assert page.viewer("return viewer.captioner.chosen") == 0
    word.send_keys(Keys.ENTER)
    assert page.viewer("return viewer.captioner.chosen") is None  # pressing again takes it back
    word.send_keys(Keys.ARROW_RIGHT)
    assert page.viewer("return viewer.captioner.chosen") == 1
    focused = page.viewer("return viewer.getRootNode().activeElement.getAttribute('aria-label')")
    assert focused.startswith(f"{cat.words[1]}, probability")


def test_the_lesson_names_what_came_before_and_the_candidates(page, cat):
    page.viewer("viewer.querySelector('details').open = true")
    page.viewer("viewer.captioner.choose(2)")
    told = page.viewer("return viewer.querySelector('.recurrence').innerText")
    assert " ".join(cat.words[:2]) in told
    assert page.viewer("return viewer.querySelectorAll('.candidate').length") == 5
    gates = page.viewer("return [...viewer.querySelectorAll('.gate')].map((row) => row.innerText)")
    assert [row.split(" gate")[0] for row in gates] == ["Forget", "Input", "Output"] * 2  # of both cells
    assert all(re.search(r"\d %$", row) for row in gates)
    states = page.viewer("return [...viewer.querySelectorAll('.states')].map((row) => row.ariaLabel)")
    assert all(re.search(r"512 numbers, changed by 0\.\d\d on average", row) for row in states)
    assert len(states) == 2
    assert "Attention compares" not in told
    page.viewer("viewer.querySelector('.explaining').click()")
    told = page.viewer("return viewer.querySelector('.recurrence').innerText")
    for part in ("A hidden state is", "how much of it stays", "Attention compares", "softmax makes"):
        assert part in told
    page.viewer("viewer.querySelector('.explaining').click()")
    assert "the sentence ended" not in told
    page.viewer("viewer.captioner.choose(viewer.captioner.data.words.length - 1)")
    assert re.search(
        r"the sentence ended: .* \d+ %\.", page.viewer("return viewer.querySelector('.recurrence').innerText")
    )
    page.viewer("viewer.captioner.choose(2)")
    page.viewer("viewer.querySelector('.next').click()")
    assert f"Word 4 of {len(cat.words)}" in page.viewer("return viewer.querySelector('.place').textContent")
    page.viewer("viewer.querySelector('details').open = false")


@pytest.mark.usefixtures("cat")
@pytest.mark.parametrize(("cell", "names"), [("gru", ["Update", "Update", "Reset"]), ("rnn", [])], ids=["gru", "rnn"])
def test_the_lesson_tells_the_gates_of_other_cells(page, cell, names):
    page.viewer(
        """
    viewer.querySelector('details').open = true
    viewer.captioner.lstm ??= viewer.captioner.data
    viewer.captioner.show({ ...viewer.captioner.lstm, key: arguments[0], cell: arguments[0] })
    """,
        cell,
    )
    gates = page.viewer("return [...viewer.querySelectorAll('.gate')].map((row) => row.innerText)")
    assert [row.split(" gate")[0] for row in gates] == names * 2
    if names:
        kept, let_in, _ = [int(re.search(r"(\d+) %$", row)[1]) for row in gates[:3]]
        assert abs(kept + let_in - 100) <= 1
    assert len(page.viewer("return [...viewer.querySelectorAll('.states canvas')]")) == 4
    page.viewer("viewer.querySelector('.explaining').click()")
    told = page.viewer("return viewer.querySelector('.recurrence').innerText")
    assert ("has no gates" in told) == (cell == "rnn")
    page.viewer("viewer.querySelector('.explaining').click()")
    page.viewer("viewer.querySelector('details').open = false; viewer.captioner.show(viewer.captioner.lstm)")


def test_settings_write_anew(page, cat, on_the_page, examples):
    from selenium.webdriver.common.keys import Keys

    page.open("Change how it writes")
    page.click("Creative")
    sampled = {"method": "sample", "beam_size": 5, "top_p": 0.9}
    page.shows(on_the_page.caption(examples[0], temperature=1.0, **sampled).text)
    handle = page.until(lambda: page.all(".st-key-temperature input[type=range]"))[0]
    handle.send_keys(Keys.ARROW_LEFT * 8)
    page.shows(on_the_page.caption(examples[0], temperature=0.2, **sampled).text)
    page.click("Likeliest")
    page.shows(cat.text)


def test_downloads(page, cat):
    page.open("Use it")
    for label in ("Text", "Attention walk"):
        page.click(label)
    text = page.until(lambda: next(iter(page.downloads.glob("*.txt")), None))
    assert page.until(text.read_text) == f"{cat.text}\n"
    page.until(lambda: not list(page.downloads.glob("*.crdownload")) and list(page.downloads.glob("*.gif")))
    (walk,) = page.downloads.glob("*.gif")
    assert Image.open(walk).n_frames == len(cat.words) + 1


def test_several_at_once_and_a_broken_one(page, on_the_page, examples, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photograph")
    page.upload(*examples[:2], broken)
    page.shows(on_the_page.caption(examples[0]).text)
    assert "broken.jpg is not a photograph" in page.text()
    page.click("2: look closer")
    page.shows(on_the_page.caption(examples[1]).text)
    page.open("Change how it writes")
    page.click("Plain")
    plain = [on_the_page.caption(path, method="greedy").text for path in examples[:2]]
    page.shows(plain[1])
    page.until(lambda: all(text in page.text() for text in plain))
    page.click("Likeliest")
    page.shows(on_the_page.caption(examples[1]).text)


def test_the_picture_of_an_example_can_be_clicked(page, on_the_page, examples):
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("Examples to try")
    name = "tennis"
    hit = """
    if (document.getAnimations().some(({ playState }) => playState === "running")) return null
    const picture = document.querySelector(`.st-key-tile-${arguments[0]} img`)
    picture?.scrollIntoView({ block: "center" })
    const { left, top, width, height } = picture?.getBoundingClientRect() ?? {}
    return width && document.elementFromPoint(left + width / 2, top + height / 2).innerText
    """
    page.until(lambda: page.driver.execute_script(hit, name) == name.capitalize())  # once the expander has opened
    ActionChains(page.driver).move_to_element(page.all(f".st-key-tile-{name} img")[0]).click().perform()
    (path,) = [path for path in examples if path.stem == name]
    page.shows(on_the_page.caption(path).text)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.usefixtures("cat")
def test_no_serious_finding_of_accessibility(page, theme, examples, tmp_path):
    background = "return getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    before = page.driver.execute_script(background)
    page.emulate(theme)
    if theme == "dark":
        page.until(lambda: page.driver.execute_script(background) != before)
    page.viewer("viewer.captioner.choose(1)")
    page.viewer("viewer.querySelector('details').open = true")
    for label in ("Examples to try", "Change how it writes", "Use it", "About this model"):
        page.open(label)
    page.until(lambda: "What it is bad at" in page.text())
    assert not serious_findings(page)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photograph")
    page.upload(*examples[:2], broken)
    page.until(lambda: "broken.jpg is not a photograph" in page.text())
    page.click("Use the camera")
    page.until(lambda: page.all("[data-testid=stCameraInput]"))
    assert not serious_findings(page)


def serious_findings(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong with what the page shows now."""
    from axe_core_python.selenium import Axe

    found = [item for item in Axe().run(page.driver)["violations"] if item["impact"] in ("serious", "critical")]
    return [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in found]


@pytest.mark.usefixtures("cat")
def test_a_narrow_window_needs_no_scrolling_sideways(page):
    page.emulate("light", 360, 800)
    width = "return [document.documentElement.scrollWidth, viewer.getBoundingClientRect().right]"
    assert page.until(lambda: max(page.viewer(width)) <= 360)
    assert page.viewer("return getComputedStyle(viewer).gridTemplateColumns.split(' ').length") == 1
    small = page.viewer("return Math.min(...[...viewer.querySelectorAll('button')].map((b) => b.offsetHeight))")
    assert small >= 24  # large enough for a finger, says WCAG 2.2


@pytest.mark.usefixtures("cat")
def test_nothing_is_asked_of_anybody_else(page, address):
    asked = page.requests()
    assert any(url.startswith(address) for url in asked)
    own = (address, address.replace("http", "ws"), "data:", "blob:", "chrome:")
    assert not [url for url in asked if not url.startswith(own)]
    assert not [entry for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
