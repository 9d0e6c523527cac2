"""The captioner in the browser says what Captioner says."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image
from torch import Tensor

from captioner import Caption, Captioner, Explanation, open_photo
from captioner.config import SearchConfig
from captioner.export.onnx_writer import export_onnx
from captioner.export.web_model import model_list
from captioner.export.web_site import policy
from captioner.photo import photo_to_tensor
from train.data.drawn import draw

from .browser import Page, opened
from .conftest import IN_A_BROWSER
from .drawing import encoded, save_tiny
from .hosting import Host, hosted
from .various import refusals, various_photos

pytestmark = IN_A_BROWSER

SEARCHES = ({}, {"method": "greedy"}, {"beam_size": 3, "rerank": 0})
# Of a photograph that is transparent and also scaled down, Pillow rounds premultiplied colours, and then their way
# back; the browser lays it on white first.
TWO_LEVELS = {"veiled_large.png"}


def camel(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as the browser names them."""
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), name): value for name, value in settings.items()}


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    return various_photos()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Captioner, Path]:
    """A small untrained captioner, and it in ONNX."""
    folder = tmp_path_factory.mktemp("small")
    checkpoint = save_tiny(folder)
    export_onnx(folder / "model", checkpoint)
    return Captioner.load(checkpoint, "cpu", "fp32"), folder / "model"


@pytest.fixture(scope="module")
def host(site, small) -> Iterator[Host]:
    """The site, with an empty page beside its own, and the small model as if it were another site."""
    _, model = small
    builds = json.loads((site / "model" / "model.json").read_text(encoding="utf-8"))["runtime"]["builds"]
    listed = json.dumps(model_list(model, builds, "../../runtime/"))
    (model / "model.json").write_text(listed, encoding="utf-8")
    with hosted(site) as running:
        running.newer = {f"/small/model/{path.name}": path.read_bytes() for path in model.iterdir()}
        running.newer["/empty.html"] = b'<!doctype html><html lang="en"><title>Empty</title>'
        yield running


@pytest.fixture(scope="module")
def page(host, tmp_path_factory) -> Iterator[Page]:
    """The empty page, with the core loaded, on a host that allows it no more than it needs, and so no threads."""
    host.headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy(True)}
    script = """
    const { Captioner } = await import("/core/captioner.js")
    globalThis.told = []
    globalThis.captioner = await Captioner.load({ onProgress: (progress) => told.push(progress) })
    """
    with opened(tmp_path_factory.mktemp("browser")) as browser:
        browser.driver.get(f"{host.address}empty.html")
        browser.work(script)
        yield browser


def as_file(name: str, content: bytes) -> dict[str, str]:
    """A file for a script of `Page.work`."""
    return {"name": name, "content": base64.b64encode(content).decode()}


def test_progress_counts_all_bytes(page, site):
    assert not page.driver.execute_script("return crossOriginIsolated")
    assert page.driver.execute_script("return captioner.backend") == "wasm"
    told = page.driver.execute_script("return told")
    values = json.loads((site / "model" / "model.json").read_text(encoding="utf-8"))
    seals = [*values["files"].values(), *values["runtime"]["builds"]["wasm"].values()]
    total = sum(seal.get("packed", seal["bytes"]) for seal in seals)
    assert {progress["total"] for progress in told} == {total}
    loaded = [progress["loaded"] for progress in told]
    assert loaded == sorted(loaded)
    assert loaded[0] == 0
    assert loaded[-1] == total


def test_pixels_are_those_of_pillow(page, photos):
    """To one level, JPEGs too: here, both sides decode them by libjpeg-turbo. Other browsers may differ more."""
    script = """
    const { openPhoto, squeeze } = await import("/core/squeeze.js")
    const picture = await openPhoto(a[0], new Uint8Array(await a[0].arrayBuffer()))
    const pixels = squeeze(picture, 299)
    return [picture.width, picture.height, btoa(pixels.reduce((text, value) => text + String.fromCharCode(value), ""))]
    """
    assert len(photos) >= 40
    for name, content in photos.items():
        width, height, text = page.work(script, as_file(name, content))
        photo = open_photo(content)
        assert (width, height) == photo.size, name
        pixels = numpy.frombuffer(base64.b64decode(text), numpy.uint8).reshape(3, 299, 299)
        far = numpy.abs(pixels.astype(int) - photo_to_tensor(photo, 299).numpy())
        assert far.max() <= (2 if name in TWO_LEVELS else 1), name


def test_captions_are_those_of_python(page, photos, bundled):
    """All words alike but for one photograph at most; where the words are, all numbers are, too."""
    script = """
    const look = await captioner.look(a[0])
    return Promise.all(a[1].map((settings) => captioner.write(look, settings)))
    """
    with ThreadPoolExecutor(1) as both:  # the browser works in one thread, so there is time for Python beside it
        python = both.submit(caption_all, bundled, list(photos.values()))
        files = (as_file(name, content) for name, content in photos.items())
        found = [page.work(script, file, [camel(settings) for settings in SEARCHES]) for file in files]
    grids, wanted = python.result()
    others = []
    for place, name in enumerate(photos):
        for caption, captions in zip(found[place], wanted, strict=True):
            if caption["text"] == captions[place].text:
                check_alike(caption, captions[place], 0.05 if name in TWO_LEVELS else 0.02)
            else:
                others.append((name, caption["text"], captions[place].text))
    for place, (caption, *_) in enumerate(found[:4]):
        check_explanation(caption, bundled.explain(grids[place : place + 1], caption["words"]))
    assert len({name for name, *_ in others}) <= 1, others


def caption_all(captioner: Captioner, photos: list[bytes]) -> tuple[Tensor, list[list[Caption]]]:
    """The grids of photographs, and for each search their captions."""
    grids = captioner.encode(photos)
    return grids, [captioner.decode(grids, **settings) for settings in SEARCHES]


def check_alike(caption: dict[str, Any], wanted: Caption, tolerance: float) -> None:
    """Compare all that a caption has with Python's; log-probabilities to a tolerance."""
    assert tuple(caption["words"]) == wanted.words
    assert " ".join(caption["shown"]).replace(" '", "'") == wanted.text
    assert numpy.allclose(caption["logProbs"], wanted.log_probs, atol=tolerance)
    assert caption["logProb"] == pytest.approx(wanted.log_prob, abs=3 * tolerance)
    assert caption["score"] == pytest.approx(wanted.score, abs=tolerance)
    maps = numpy.array(caption["maps"])
    assert numpy.abs(maps - wanted.attention).max() <= 0.01
    assert numpy.allclose(maps.sum((1, 2)), 1, atol=1e-4)
    texts = [{other["text"] for other in caption["alternatives"]}, {other.text for other in wanted.alternatives}]
    assert len(texts[0] ^ texts[1]) <= 2  # of two that are about as good, either may be the last
    assert caption["text"] not in texts[0]


def check_explanation(caption: dict[str, Any], wanted: Explanation) -> None:
    """Compare the likeliest words of each place and of the end, hidden states and gates with Python's."""
    assert numpy.abs(numpy.array(caption["hidden"]) / 100 - wanted.hidden).max() <= 0.03
    assert numpy.abs(numpy.array(caption["gates"]) / 100 - wanted.gates).max() <= 0.015
    assert len(caption["candidates"]) == len(wanted.candidates)
    for ours, theirs in zip(caption["candidates"], wanted.candidates, strict=True):
        assert numpy.allclose([value for _, value in ours], [value for _, value in theirs], atol=0.02)
        assert ours[0][0] == theirs[0][0] or theirs[0][1] - theirs[1][1] < 0.02


def test_a_look_has_what_a_page_needs(page, photos):
    script = """
    const look = await captioner.look(a[0])
    return [look.key, look.width, look.height, look.photo.type, [...new Uint8Array(await look.photo.arrayBuffer())]]
    """
    key, width, height, kind, content = page.work(script, as_file("turned6.jpg", photos["turned6.jpg"]))
    assert key == hashlib.sha256(photos["turned6.jpg"]).hexdigest()
    assert kind == "image/jpeg"
    shown, photo = Image.open(io.BytesIO(bytes(content))), open_photo(photos["turned6.jpg"])
    assert shown.size == photo.size == (width, height)
    assert not shown.getexif()
    assert numpy.abs(numpy.asarray(shown).astype(int) - numpy.asarray(photo)).mean() < 4


@pytest.fixture(scope="module")
def cat(page, photos) -> None:
    """Lets scripts write captions of a photograph, `cat`."""
    page.work("globalThis.cat = await captioner.look(a[0])", as_file("cat.jpg", photos["cat.jpg"]))


@pytest.mark.usefixtures("cat")
def test_sampling_keeps_its_promises(page):
    script = "return Promise.all(a[0].map((settings) => captioner.write(cat, settings)))"
    drawn = {"method": "sample", "beamSize": 5}
    settings = [
        {"method": "greedy"},
        {**drawn, "topP": 0.001},
        {**drawn, "temperature": 0.01},
        *({**drawn, "seed": seed, "topP": 1, "rerank": 0} for seed in (1, 1, 2, 2**32 + 1)),
        {**drawn, "topP": 1, "temperature": 3, "minimumLength": 6, "maximumLength": 7, "rerank": 0},
    ]
    greedy, narrow, cold, one, again, two, far, limited = page.work(script, settings)
    # The likeliest words alone: there is but one sentence, of which the search would find no other either.
    assert narrow["text"] == cold["text"] == greedy["text"]
    assert narrow["alternatives"] == []
    assert narrow["logProbs"] == pytest.approx(greedy["logProbs"], abs=1e-4)  # of the model, whatever drew them
    assert one == again
    assert len({caption["text"] for caption in (one, two, far)}) == 3
    everything = [limited, *limited["alternatives"]]
    assert {len(caption["words"]) for caption in everything} <= {6, 7}
    assert len({caption["text"] for caption in everything}) == 5
    scores = [caption["score"] for caption in everything]
    assert scores == sorted(scores, reverse=True)
    for caption in everything:
        pairs = list(zip(caption["words"], caption["words"][1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def test_top_p_leaves_out_unlikely_words(page):
    """Drawn a thousand times from a decoder of four words, whose first three make up 0.95."""
    script = """
    const { search } = await import("/core/search.js")
    const state = { select: () => state }
    const row = Float32Array.from([0, 0.5, 0.3, 0.15, 0.05], Math.log)
    const step = (words) => ({ logProbs: words.map(() => row), attention: words.map(() => [1]), inner: words, state })
    const decoder = { start: async () => ({ memory: null, state }), step: async (words) => step(words) }
    const settings = { method: "sample", beamSize: 1000, maximumLength: 1, minimumLength: 1, blockNgram: 0, seed: 3 }
    const special = { start: 0, end: 0, forbidden: [] }
    const draw = async (more) => {
      const found = await search(decoder, null, special, { ...settings, lengthPenalty: 0, temperature: 1, ...more })
      return [1, 2, 3, 4].map((word) => found.filter(({ ids }) => ids[0] === word).length / 1000)
    }
    return Promise.all([{ topP: 1 }, { topP: 0.9 }, { topP: 0.6 }, { topP: 1, temperature: 0.5 }].map(draw))
    """
    everything, most, half, cold = page.work(script)
    assert everything == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.05)
    assert most == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0], abs=0.05)
    assert most[3] == 0
    assert half == pytest.approx([0.5 / 0.8, 0.3 / 0.8, 0, 0], abs=0.05)
    assert half[2:] == [0, 0]
    assert cold == pytest.approx([0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365], abs=0.05)


def test_a_small_untrained_model_with_many_settings(page, small):
    """Its words are about as likely as each other, so rules decide; neither matcher nor typical photograph is known."""
    python, _ = small
    settings = [
        {
            "beam_size": size,
            "block_ngram": block,
            "length_penalty": penalty,
            "minimum_length": least,
            "maximum_length": most,
        }
        for size, block, penalty in [(1, 0, 0.7), (3, 1, 0), (8, 2, 0.7), (8, 3, 2), (50, 2, 1)]
        for least, most in [(1, 1), (1, 30), (3, 6), (6, 24), (24, 24)]
    ]
    script = """
    const { Captioner } = await import("/core/captioner.js")
    const small = await Captioner.load({ base: "/small/" })
    const look = await small.look(a[0])
    const captions = await Promise.all(a[1].map((settings) => small.write(look, settings)))
    small.close()
    return captions
    """
    photo = encoded(draw("red", "circle"), "PNG")
    grid = python.encode([photo])
    found = page.work(script, as_file("drawn.png", photo), [camel(values) for values in settings])
    for values, caption in zip(settings, found, strict=True):
        (wanted,) = python.decode(grid, **values)
        assert caption["text"] == wanted.text, values
        assert caption["logProbs"] == pytest.approx(wanted.log_probs, abs=1e-3), values
        assert [other["text"] for other in caption["alternatives"]] == [other.text for other in wanted.alternatives]


@pytest.mark.parametrize("name", refusals())
def test_what_is_no_photograph_is_named(page, name):
    content, message = refusals()[name]
    with pytest.raises(RuntimeError, match=re.escape(message)):
        page.work("await captioner.look(a[0])", as_file(name, content))


@pytest.mark.usefixtures("cat")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beams": 3}, "Unknown setting beams. The search knows method, beamSize"),
        ({"method": "best"}, "Unknown method best. Choose from greedy, beam, sample."),
        ({"beamSize": 0}, "beamSize must be a whole number from 1 to 50, not 0."),
        ({"minimumLength": 31}, "minimumLength must be a whole number from 1 to 30, not 31."),
        ({"topP": "much"}, "topP must be a number from 0.001 to 1, not much."),
    ],
)
def test_wrong_settings_are_named(page, settings, message):
    with pytest.raises(RuntimeError, match=re.escape(message)):
        page.work("await captioner.write(cat, a[0])", settings)


def test_settings_are_those_of_python(page):
    script = 'const { complete } = await import("/core/settings.js"); return complete()'
    assert page.work(script) == camel(asdict(SearchConfig()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda content: content[:-1], "memory.onnx is not as large as was published."),
        (lambda content: content[:-1] + b"?", "memory.onnx is not what was published."),
        (lambda _: None, "memory.onnx cannot be loaded: the site answers 404."),
    ],
)
def test_a_spoilt_site_is_told(page, host, content, message):
    path = "/small/model/memory.onnx"
    whole = host.newer[path]
    host.newer[path] = content(whole)  # None is as if it were not there
    script = 'await (await import("/core/captioner.js")).Captioner.load({ base: "/small/" })'
    try:
        with pytest.raises(RuntimeError, match=re.escape(message)):
            page.work(script)
    finally:
        host.newer[path] = whole


@pytest.mark.usefixtures("cat")
def test_on_a_host_that_allows_threads(host, page, photos, tmp_path):
    script = """
    const { Captioner } = await import("/core/captioner.js")
    const captioner = await Captioner.load()
    return captioner.write(await captioner.look(a[0]))
    """
    wanted = page.work("return captioner.write(cat)")
    headers = host.headers
    isolating = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    host.headers = headers | isolating
    try:
        with opened(tmp_path) as browser:
            browser.driver.get(f"{host.address}empty.html")
            assert browser.driver.execute_script("return crossOriginIsolated")
            caption = browser.work(script, as_file("cat.jpg", photos["cat.jpg"]))
    finally:
        host.headers = headers
    assert caption["text"] == wanted["text"]
    assert caption["logProbs"] == pytest.approx(wanted["logProbs"], abs=1e-3)
