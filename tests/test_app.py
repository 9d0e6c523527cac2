"""The page, path by path, without a browser."""

import io
import json
from pathlib import Path

import pytest
import streamlit
from PIL import Image
from streamlit.testing.v1 import AppTest

from captioner.page import give
from captioner.page.engine import Engine, load_engine
from train.data.drawn import draw

from .conftest import EXAMPLES

APP = str(Path(__file__).parents[1] / "app.py")


@pytest.fixture
def page() -> AppTest:
    return checked(AppTest.from_file(APP, default_timeout=60).run())


def checked(page: AppTest) -> AppTest:
    """The page after a run in which nothing went wrong unexpectedly."""
    assert not page.exception
    assert not any("Something went wrong" in error.value for error in page.error)
    return page


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def upload(page: AppTest, *files: tuple[str, bytes, str]) -> AppTest:
    page.file_uploader[0].set_value(list(files)).run()
    return checked(page)


def viewer(page: AppTest) -> dict:
    """What the component in the browser was given."""
    (component,) = page.get("bidi_component")
    return json.loads(component.proto.json)


def slider(page: AppTest, key: str):
    return page.slider(key=key)


def test_first_screen_explains_itself(page):
    assert page.title[0].value == "Captioner"
    assert "where it looked" in page.markdown[0].value
    assert page.file_uploader[0].accept_multiple_files
    assert {".jpg", ".webp", ".tiff"} <= set(page.file_uploader[0].allowed_type)
    assert page.toggle[0].label == "Use the camera"
    assert {button.label for button in page.button} >= {"Desk", "Cat", "Gull", "Kitchen", "Riders"}
    # Of the eight, two are named as ones that it gets wrong.
    assert [text.value for text in page.caption].count("it gets this wrong") == 2
    assert not page.get("bidi_component")
    assert not page.error


def test_upload_shows_caption_photograph_and_downloads(page, on_the_page, examples):
    data = examples[0].read_bytes()
    upload(page, ("my cat.jpg", data, "image/jpeg"))
    caption = on_the_page.caption(data)
    shown = viewer(page)
    assert shown["text"] == caption.text
    assert shown["words"] == list(caption.words)
    assert " ".join(shown["shown"]).endswith(".")
    assert shown["photo"].startswith("/")  # an address of the page's own server
    assert len(shown["maps"]) == len(shown["candidates"]) - 1 == len(caption.words)
    assert sum(map(sum, shown["maps"][0])) == pytest.approx(1, abs=1e-2)
    assert [button.label for button in page.download_button] == [
        "Text",
        "JSON",
        "Attention figure (PNG)",
        "Attention walk (GIF)",
    ]
    assert [code.value for code in page.code] == [
        f'<img src="my%20cat.jpg" alt="{caption.text}">',
        f"![{caption.text}](my%20cat.jpg)",
    ]


def test_files_are_forgotten_and_what_was_given_stays(page, on_the_page, examples):
    upload(page, ("cat.jpg", examples[0].read_bytes(), "image/jpeg"))
    assert not page.file_uploader[0].value  # a new, empty one
    page.run()
    assert viewer(page)["text"] == on_the_page.caption(examples[0]).text
    upload(page, ("gull.jpg", examples[2].read_bytes(), "image/jpeg"))
    assert viewer(page)["text"] == on_the_page.caption(examples[2]).text


def test_alternatives_can_be_chosen(page, on_the_page, examples):
    data = examples[2].read_bytes()
    upload(page, ("gull.jpg", data, "image/jpeg"))
    alternatives = on_the_page.caption(data).alternatives
    radio = page.main.radio[0]
    assert radio.options[1:] == [other.text for other in alternatives]
    assert "%" in radio.proto.captions[0]
    radio.set_value(1).run()
    checked(page)
    assert viewer(page)["text"] == alternatives[0].text
    assert viewer(page)["words"] == list(alternatives[0].words)
    assert f'alt="{alternatives[0].text}"' in page.code[0].value


def test_settings_change_the_caption_without_looking_again(page, on_the_page, examples, monkeypatch):
    data = examples[1].read_bytes()
    upload(page, ("desk.jpg", data, "image/jpeg"))

    def never(*_):
        raise AssertionError("a setting looked at the photograph again")

    monkeypatch.setattr(Engine, "look", never)
    for method, settings in (("greedy", {}), ("sample", {"beam_size": 5, "temperature": 1.0, "top_p": 0.9})):
        page.radio(key="method").set_value(method).run()
        checked(page)
        assert viewer(page)["text"] == on_the_page.caption(data, method=method, **settings).text
    slider(page, "temperature").set_value(0.4)
    slider(page, "alternatives").set_value(2).run()
    assert len(page.main.radio[0].options) <= 3
    page.radio(key="method").set_value("beam").run()
    slider(page, "lengths").set_value((5, 5)).run()
    checked(page)
    assert len(viewer(page)["words"]) == 5


def test_settings_stay_while_they_are_not_shown(page, examples):
    upload(page, ("cat.jpg", examples[0].read_bytes(), "image/jpeg"))
    page.radio(key="method").set_value("sample").run()
    slider(page, "temperature").set_value(0.3).run()
    page.radio(key="method").set_value("beam").run()
    page.radio(key="method").set_value("sample").run()
    assert slider(page, "temperature").value == 0.3


@pytest.mark.parametrize(("threshold", "told"), [(0.0, 1), (-99.0, 0)])
def test_being_unsure_is_said_in_words(page, monkeypatch, examples, threshold, told):
    monkeypatch.setattr("captioner.page.result.UNSURE", threshold)
    upload(page, ("cat.jpg", examples[0].read_bytes(), "image/jpeg"))
    assert len(page.warning) == told
    assert all("unsure" in warning.value for warning in page.warning)


def test_several_photographs_and_a_bad_one(page, on_the_page, examples):
    files = [(path.name, path.read_bytes(), "image/jpeg") for path in examples[:2]]
    upload(page, *files, ("broken.jpg", b"no photograph", "image/jpeg"))
    assert [error.value.split()[0] for error in page.error] == ["broken.jpg"]
    captions = [on_the_page.caption(path).text for path in examples[:2]]
    assert [image.proto.imgs[0].alt for image in page.image if image.proto.imgs[0].alt] == captions
    assert [button.label for button in page.download_button[:2]] == ["All captions (CSV)", "All captions (JSONL)"]
    assert viewer(page)["text"] == captions[0]
    page.button(key="closer-1").click().run()
    checked(page)
    assert viewer(page)["text"] == captions[1]


def test_too_many_photographs_are_told(page, monkeypatch):
    monkeypatch.setattr(give, "MOST_AT_ONCE", 2)
    files = [(f"{kind}.jpg", jpeg(draw("red", kind)), "image/jpeg") for kind in ("circle", "square", "triangle")]
    upload(page, *files)
    assert "These are 3 photographs; the page takes 2 at once" in page.error[0].value
    assert "2 photographs" in page.subheader[0].value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"plain text", "is not a photograph that can be read. Supported are JPEG"),
        (jpeg(draw("red", "circle"))[:700], "damaged"),
    ],
)
def test_errors_are_sentences(page, content, message):
    upload(page, ("b*a*d$1$.jpg", content, "image/jpeg"))
    assert r"\*a\*d\$1\$" in page.error[0].value  # Streamlit would read it as Markdown
    told = page.error[0].value.replace("\\", "")
    assert told.startswith("b*a*d$1$.jpg")
    assert message in told
    assert not page.get("bidi_component")


def test_a_bad_photograph_takes_nothing_away(page, on_the_page, examples):
    upload(page, ("cat.jpg", examples[0].read_bytes(), "image/jpeg"))
    upload(page, ("bad.jpg", b"plain text", "image/jpeg"))
    assert "bad.jpg" in page.error[0].value
    assert viewer(page)["text"] == on_the_page.caption(examples[0]).text


def test_camera(page, on_the_page):
    page.toggle[0].set_value(True).run()
    shot = jpeg(draw("blue", "circle", (320, 240)))
    page.camera_input[0].set_value(("shot.jpg", shot, "image/jpeg")).run()
    checked(page)
    assert viewer(page)["text"] == on_the_page.caption(shot).text
    assert not page.get("camera_input")  # it is off again


def test_examples_can_be_clicked_and_carry_their_credit(page, on_the_page, examples):
    for path in examples:
        button = page.button(key=f"example-{path.stem}")
        assert any(licence in button.proto.help for licence in ("CC BY", "CC0", "public domain"))
        button.click().run()
        checked(page)
        assert viewer(page)["text"] == on_the_page.caption(path.read_bytes()).text


def test_about_is_honest(page):
    told = " ".join(text.value for text in page.expander[-1].markdown)
    assert "bad at" in told
    assert "photographs with" in told
    assert "CIDEr-D" in told
    (button,) = [button for button in page.button if button.label == "Read the model card"]
    button.click().run()
    checked(page)
    assert any("# Model card" in text.value for text in page.markdown)


def test_a_missing_model_is_a_sentence(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("captioner.captioner.BUNDLED", tmp_path / "captioner.safetensors")
    streamlit.cache_resource.clear()
    app = AppTest.from_file(APP, default_timeout=60).run()
    streamlit.cache_resource.clear()
    assert not app.exception
    assert "The model cannot be loaded" in app.error[0].value
    assert str(tmp_path) not in app.error[0].value
    assert "There is no checkpoint" in caplog.text


def test_a_busy_page_says_so_once_and_loses_nothing(page, monkeypatch, on_the_page, examples):
    sure = EXAMPLES / "motorcycle.jpg"  # of which the page does not say that it is unsure
    upload(page, (sure.name, sure.read_bytes(), "image/jpeg"))
    with monkeypatch.context() as crowded:
        crowded.setattr(load_engine(), "most_waiting", 0)
        files = [(path.name, path.read_bytes(), "image/jpeg") for path in examples[:2]]
        upload(page, *files)
        assert ["try again in a minute" in warning.value for warning in page.warning] == [True]
        assert viewer(page)["text"] == on_the_page.caption(sure).text
    page.run()  # the files are still there
    assert viewer(page)["text"] == on_the_page.caption(examples[0]).text
    assert not page.warning


def test_a_fault_is_logged_and_not_shown(page, monkeypatch, examples, caplog):
    def fault(*_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Engine, "write", fault)
    page.file_uploader[0].set_value([("cat.jpg", examples[0].read_bytes(), "image/jpeg")]).run()
    assert not page.exception
    assert "Something went wrong" in page.error[0].value
    assert "secret detail" not in str(page.error)
    assert "secret detail" in caplog.text


def test_json_of_a_caption_is_complete(on_the_page, examples):
    row = on_the_page.caption(examples[1]).to_dict()
    assert set(json.loads(json.dumps(row))) == {"caption", "score", "words", "log_probs"}


def busy_script() -> None:
    from captioner.page.waiting import Waiting

    told = Waiting("Looking at the photograph")
    told(3)


def progress_script() -> None:
    from captioner.page.waiting import Waiting

    told = Waiting("Looking at the photograph")
    told(1)
    told.step(7, 24)


def cleared_script() -> None:
    from captioner.page.waiting import waiting

    with waiting("Looking at the photograph") as told:
        told(0)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (busy_script, ["The page is busy: 3 others are served before you."]),
        (progress_script, ["Looking at the photograph 7 of 24 …"]),
        (cleared_script, []),
    ],
)
def test_a_visitor_who_waits_knows_why(script, text):
    app = AppTest.from_function(script).run()
    assert [html.proto.body for html in app.get("html")] == [f'<p role="status">{line}</p>' for line in text]
