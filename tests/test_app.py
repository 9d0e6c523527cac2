"""The page, path by path, without a browser."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from .drawing import draw

APP = str(Path(__file__).parents[1] / "app.py")


@pytest.fixture
def page() -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    assert not app.exception
    return app


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def upload(page: AppTest, *files: tuple[str, bytes, str]) -> AppTest:
    page.file_uploader[0].set_value(list(files))
    page.run()
    assert not page.exception
    return page


def source(page: AppTest, name: str) -> AppTest:
    page.segmented_control[0].set_value(name)
    return page.run()


def words(page: AppTest) -> list[str]:
    return [option.strip("\u200b") for option in page.pills(key="word").options]


def test_first_screen_explains_itself(page):
    assert page.title[0].value == "Captioner"
    assert "where it looked" in page.markdown[0].value
    assert page.file_uploader[0].accept_multiple_files
    assert {".jpg", ".webp", ".tiff"} <= set(page.file_uploader[0].allowed_type)
    assert not page.header or page.header[0].value == "Settings"


def test_upload_shows_caption_photograph_and_downloads(page, bundled, examples):
    data = examples[1].read_bytes()
    upload(page, ("my cat.jpg", data, "image/jpeg"))
    caption = bundled.caption(data)
    assert page.main.header[0].value == caption.text
    assert words(page) == list(caption.words)
    assert page.image[0].proto.imgs[0].alt == caption.text
    assert [button.label for button in page.download_button] == [
        "Caption (text)",
        "Caption (JSON)",
        "Attention maps (PNG)",
    ]


def test_a_word_shows_its_map(page, examples):
    upload(page, ("cat.jpg", examples[1].read_bytes(), "image/jpeg"))
    plain = page.image[0].value
    shown = set()
    for place in (1, 2):
        page.pills(key="word").set_value(place).run()
        assert not page.exception
        assert any("Where the model looked for" in text.value for text in page.main.caption)
        assert words(page)[place] in page.main.caption[-1].value
        shown.add(page.image[0].value[0])
    assert len(shown) == 2
    assert plain[0] not in shown
    page.pills(key="word").set_value(None).run()
    assert page.image[0].value == plain


def test_alternatives_can_be_chosen(page, bundled, examples):
    data = examples[2].read_bytes()
    upload(page, ("coffee.jpg", data, "image/jpeg"))
    alternatives = bundled.caption(data).alternatives
    page.pills(key="word").set_value(len(words(page)) - 1).run()  # a place that another caption may not have
    radio = page.main.radio[0]
    assert radio.options[1:] == [other.text for other in alternatives]
    assert "%" in page.main.radio[0].proto.captions[0]
    radio.set_value(1).run()
    assert not page.exception
    assert page.main.header[0].value == alternatives[0].text
    assert words(page) == list(alternatives[0].words)


def test_settings_change_the_caption(page, bundled, examples):
    data = examples[0].read_bytes()
    upload(page, ("astronaut.jpg", data, "image/jpeg"))
    for method, settings in (("greedy", {}), ("sample", {"beam_size": 5, "temperature": 1.0, "top_p": 0.9})):
        page.sidebar.radio[0].set_value(method).run()
        assert not page.exception
        assert page.main.header[0].value == bundled.caption(data, method=method, **settings).text
    page.sidebar.radio[0].set_value("beam").run()
    (lengths,) = [slider for slider in page.sidebar.slider if slider.label.startswith("Words")]
    lengths.set_value((5, 5)).run()
    assert not page.exception
    assert len(words(page)) == 5


def test_being_unsure_does_not_depend_on_the_length_penalty(page, examples):
    upload(page, ("cat.jpg", examples[1].read_bytes(), "image/jpeg"))
    told = len(page.info)
    (penalty,) = [slider for slider in page.sidebar.slider if slider.label == "Length penalty"]
    for value in (0.8, 1.2):
        penalty.set_value(value).run()
        assert len(page.info) == told


def test_several_photographs_and_a_bad_one(page, bundled, examples):
    files = [(path.name, path.read_bytes(), "image/jpeg") for path in examples[:2]]
    upload(page, *files, ("broken.jpg", b"no photograph", "image/jpeg"))
    assert [error.value.split()[0] for error in page.error] == ["broken.jpg"]
    assert list(page.dataframe[0].value["file"]) == [path.name for path in examples[:2]]
    assert page.main.header[0].value == bundled.caption(examples[0]).text
    page.selectbox[0].set_value(1).run()
    assert page.main.header[0].value == bundled.caption(examples[1]).text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"plain text", "is not a photograph that can be read. Supported are JPEG"),
        (jpeg(draw("red", "circle"))[:700], "damaged"),
    ],
)
def test_errors_are_sentences(page, content, message):
    upload(page, ("bad.jpg", content, "image/jpeg"))
    assert page.error[0].value.startswith("bad.jpg")
    assert message in page.error[0].value
    assert not page.main.header


def test_camera(page, bundled):
    source(page, "Camera")
    shot = jpeg(draw("blue", "circle", (320, 240)))
    page.camera_input[0].set_value(("shot.jpg", shot, "image/jpeg")).run()
    assert not page.exception
    assert page.main.header[0].value == bundled.caption(shot).text


def test_examples_carry_their_credit(page, bundled, examples):
    source(page, "Examples")
    for path in examples:
        page.pills(key="example").set_value(path.stem).run()
        assert not page.exception
        assert page.main.header[0].value == bundled.caption(path.read_bytes()).text
        assert any("CC0" in text.value or "public domain" in text.value for text in page.caption)


def test_a_missing_model_is_a_sentence(monkeypatch, tmp_path):
    import streamlit

    monkeypatch.setattr("captioner.captioner.BUNDLED", tmp_path / "captioner.safetensors")
    streamlit.cache_resource.clear()
    app = AppTest.from_file(APP, default_timeout=60).run()
    streamlit.cache_resource.clear()
    assert not app.exception
    assert "There is no checkpoint" in app.error[0].value


def test_json_of_a_caption_is_complete(bundled, examples):
    row = bundled.caption(examples[0]).to_dict()
    assert set(json.loads(json.dumps(row))) == {"caption", "score", "words", "log_probs"}
