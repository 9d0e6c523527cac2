"""Scores against an independent implementation, and the evaluate command."""

import json
import shutil

import pytest
from nltk.translate.bleu_score import corpus_bleu

from captioner import DataError
from captioner.vocabulary import tokenize
from train.__main__ import main
from train.dataset import Example
from train.evaluate import make_report, read_results, references_of, write_captions
from train.metrics import score

from .drawing import draw, tiny_captioner

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
    assert written.captions == {
        name: captioner.caption(tmp_path / f"{name}.png", beam_size=2).text for name in ("a", "c")
    }
    assert len(written.errors) == 1
    assert "b.png" in written.errors[0]
    report = make_report(
        score(references_of(examples), written.captions, java=False), references_of(examples), written.captions
    )
    assert (report["photographs"], report["references"], report["unit"]) == (2, 2, "times 100")


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
        ("{", "cannot be read"),
        ('{"a": 1}', "results format"),
        ('[{"caption": "x"}]', "results"),
    ]:
        results.write_text(content)
        assert main(arguments) == 1
        assert message in capsys.readouterr().err
    assert main(["evaluate", "--annotations", str(captions)]) == 1
    assert "--images" in capsys.readouterr().err
