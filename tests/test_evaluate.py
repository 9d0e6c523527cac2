"""Scores against an independent implementation, and the evaluate command."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
from nltk.translate.bleu_score import corpus_bleu

from captioner import DataError
from captioner.checkpoint import Checkpoint, model_tensors, save_checkpoint
from captioner.vocabulary import tokenize
from train.__main__ import main
from train.data.captions import Example
from train.data.drawn import draw
from train.judge import metrics
from train.judge.attention import measure_attention, read_instances
from train.judge.evaluate import make_report, read_results, references_of, write_captions
from train.judge.metrics import score

from .drawing import tiny_captioner

REFERENCES = {
    1: ["A brown dog runs through the tall grass.", "A dog is running in a field of grass."],
    2: ["Two children play on a red slide.", "Kids on a playground slide, laughing.", "Two kids slide."],
    3: ["A man rides a bicycle down the street.", "A cyclist on a city street."],
}
HYPOTHESES = {
    1: "A dog runs through the grass.",
    2: "Two kids play on a red slide in a park.",
    3: "A man rides a bicycle down the road.",
}


def test_bleu_equals_nltk():
    scores = score(REFERENCES, HYPOTHESES, java=False)
    references = [[tokenize(text) for text in texts] for texts in REFERENCES.values()]
    hypotheses = [tokenize(text) for text in HYPOTHESES.values()]
    for order in range(1, 5):
        expected = corpus_bleu(references, hypotheses, weights=(1 / order,) * order)
        assert scores.values[f"BLEU-{order}"] == pytest.approx(100 * expected, abs=1e-6)
    assert scores.tokenizer == "nltk"
    assert "Java" in scores.missing["METEOR"]


def test_perfect_and_wrong_captions():
    perfect = score(REFERENCES, {key: texts[0] for key, texts in REFERENCES.items()}, java=False).values
    assert perfect["BLEU-4"] == pytest.approx(100, abs=0.01)
    assert perfect["ROUGE-L"] == pytest.approx(100, abs=0.01)
    shuffled = score(REFERENCES, {1: HYPOTHESES[2], 2: HYPOTHESES[3], 3: HYPOTHESES[1]}, java=False).values
    right = score(REFERENCES, HYPOTHESES, java=False).values
    assert shuffled["CIDEr-D"] < 0.2 * right["CIDEr-D"] < right["CIDEr-D"] < perfect["CIDEr-D"]


@pytest.mark.skipif(not shutil.which("java"), reason="needs Java")
def test_java_adds_meteor_and_agrees_on_plain_words():
    with_java, without = score(REFERENCES, HYPOTHESES), score(REFERENCES, HYPOTHESES, java=False)
    assert with_java.tokenizer == "PTB"
    assert 20 < with_java.values["METEOR"] < 70
    for name, value in without.values.items():
        assert with_java.values[name] == pytest.approx(value, abs=1e-6)


def test_nothing_to_score_is_told():
    with pytest.raises(DataError, match="no captions to score"):
        score(REFERENCES, {})
    with pytest.raises(DataError, match="1 captions have no reference, the first for image 9"):
        score(REFERENCES, {9: "A dog."})


def test_captions_are_free_running_and_bad_photographs_are_told(tmp_path):
    captioner = tiny_captioner()
    draw("red", "circle").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"bad")
    draw("blue", "square").save(tmp_path / "c.png")
    examples = [Example(name, tmp_path / f"{name}.png", ("A dog.",)) for name in "abc"]
    written = write_captions(captioner, examples, batch_size=2, progress=False, beam_size=2)
    assert written.texts == {name: captioner.caption(tmp_path / f"{name}.png", beam_size=2).text for name in ("a", "c")}
    assert len(written.errors) == 1
    assert "b.png" in written.errors[0]
    report = make_report(
        score(references_of(examples), written.texts, java=False), references_of(examples), written.texts
    )
    assert (report["photographs"], report["references"], report["unit"]) == (2, 2, "times 100")


def test_what_the_captions_are_like():
    captions = {1: "A dog runs.", 2: "A dog runs.", 3: "A man rides a bicycle."}
    scores = score(REFERENCES, captions, java=False)
    report = make_report(scores, REFERENCES, captions)
    assert (report["distinct_captions"], report["distinct_share"]) == (2, 0.667)
    assert (report["words_used"], report["mean_words"]) == (6, 3.67)
    assert sum(scores.of_photo.values()) / 3 == pytest.approx(scores.values["CIDEr-D"])
    assert scores.of_photo[1] > scores.of_photo[2]


@pytest.mark.parametrize(
    ("said", "version"), [('openjdk version "17.0.2"', 17), ('java version "1.8.0_312"', 8), ("command failed", None)]
)
def test_spice_runs_where_its_java_is(monkeypatch, said, version):
    monkeypatch.setattr(metrics.subprocess, "run", lambda *_, **__: SimpleNamespace(stderr=said))
    if version is None:
        with pytest.raises(ValueError, match="said 'command failed'"):
            metrics.java_version()
        return
    assert metrics.java_version() == version
    calls = []
    fake = SimpleNamespace(
        Spice=lambda: SimpleNamespace(compute_score=lambda *given: (calls.append(given), (0.2, []))[1])
    )
    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", fake)
    if version == 8:
        assert metrics.spice({1: ["a"]}, {1: ["b"]}) == 0.2
        assert calls == [({1: ["a"]}, {1: ["b"]})]
    else:
        with pytest.raises(ValueError, match="runs on Java 8 only, and the `java` found is 17"):
            metrics.spice({}, {})


def test_attention_and_page_through_the_command(tmp_path, capsys):
    images, annotations, boxes = [], [], []
    for number, word in enumerate(("dog", "cat", "person"), 1):
        draw("red", "circle", seed=number).save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 96})
        annotations.append({"id": number, "image_id": number, "caption": f"A {word}."})
        boxes += [{"image_id": number, "category_id": category, "bbox": [0, 0, 48, 96]} for category in (1, 2)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    # What an untrained model says is arbitrary, so its words are made the names of categories.
    words = {word for number in (1, 2) for word in tiny_captioner().caption(tmp_path / f"{number}.png").words}
    names = [{"id": 1, "name": max(words, key=len)}, {"id": 2, "name": "nothing"}]
    instances = {"images": images[:2], "annotations": boxes[:4], "categories": names}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    captioner = tiny_captioner()
    checkpoint = Checkpoint(captioner.config, captioner.vocabulary, model_tensors(captioner.model))
    save_checkpoint(checkpoint, tmp_path / "tiny.safetensors")
    paths = {"annotations": "captions.json", "checkpoint": "tiny.safetensors", "instances": "instances.json"}
    paths |= {"page": "page.html", "output": "report.json"}
    command = ["evaluate", "--images", str(tmp_path), "--with-instances-only", "--device", "cpu"]
    for name, path in paths.items():
        command += [f"--{name}", str(tmp_path / path)]
    assert main(command) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["photographs"] == 2
    expected = measure_attention(
        {number: captioner.caption(tmp_path / f"{number}.png") for number in (1, 2)},
        *read_instances(tmp_path / "instances.json"),
    )
    assert report["attention"] == pytest.approx(expected, rel=1e-4)
    assert report["attention"]["words"] > 0
    assert "attention" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().count("<article>") == 2
    assert main([*command, "--only", "nothing/"]) == 1
    assert "No photograph of" in capsys.readouterr().err
    assert main(["evaluate", "--annotations", "x", "--results", "y", "--page", "z"]) == 1
    assert "which --results does not have" in capsys.readouterr().err
    assert main(["evaluate", "--annotations", "x", "--images", "y", "--with-instances-only"]) == 1
    assert "needs --instances" in capsys.readouterr().err


def test_results_from_elsewhere(tmp_path, capsys):
    images = [{"id": key, "file_name": f"{key}.jpg"} for key in REFERENCES]
    annotations = [
        {"id": 10 * key + place, "image_id": key, "caption": text}
        for key, texts in REFERENCES.items()
        for place, text in enumerate(texts)
    ]
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"images": images, "annotations": annotations}))
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{"image_id": key, "caption": text} for key, text in HYPOTHESES.items()]))
    output = tmp_path / "report.json"
    arguments = ["evaluate", "--annotations", str(captions), "--results", str(results), "--output", str(output)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "BLEU-4" in printed
    assert "photographs 3, references 7" in printed
    report = json.loads(output.read_text())
    assert report["scores"]["BLEU-1"] == pytest.approx(score(REFERENCES, HYPOTHESES).values["BLEU-1"], abs=0.01)
    assert read_results(output.parent / "results.json") == HYPOTHESES

    for content, message in [
        ("{", "not valid JSON"),
        ('{"a": 1}', "results format"),
        ('[{"caption": "x"}]', "results"),
    ]:
        results.write_text(content)
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert main(["evaluate", "--annotations", str(captions)]) == 1
    assert "--images" in capsys.readouterr().err
