"""The page of captions to look at."""

import re
from dataclasses import replace

from train.data.captions import Example
from train.judge.page import write_page


def test_the_page_shows_the_worst_first_and_holds_everything(tmp_path, tiny, pictures):
    examples = [Example(number, path, ("A <b>bold</b> dog.", "Two.")) for number, path in enumerate(pictures)]
    captions = {number: tiny.caption(path) for number, path in enumerate(pictures)}
    captions[2] = replace(captions[2], words=("<script>", *captions[2].words[1:]))
    pictures[4].unlink()
    scores = {0: 50.0, 1: 10.0, 2: 90.0, 3: 30.0, 4: 20.0}
    write_page(tmp_path / "page.html", examples, captions, scores)
    page = (tmp_path / "page.html").read_text()
    assert [float(value) for value in re.findall(r"CIDEr-D ([\d.]+) &middot;", page)] == [10, 30, 50, 90]
    assert "4_blue_circle.png" in page  # the message about the photograph that is gone
    assert "mean CIDEr-D 40.0" in page
    assert page.count("data:image/jpeg") == 4
    assert page.count("data:image/png") == sum(len(captions[number].words) for number in range(4))
    assert "A &lt;b&gt;bold" in page
    assert "&lt;script&gt;</span>" in page
    assert not re.search(r"(src|href)=.?(http|/)", page)


def test_of_many_the_extremes_are_shown(tmp_path, tiny, pictures):
    caption = tiny.caption(pictures[0])
    examples = [Example(number, path, ("A dog.",)) for number, path in enumerate(pictures)]
    write_page(tmp_path / "page.html", examples, dict.fromkeys(range(5), caption), dict(enumerate(range(5))), limit=4)
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r"CIDEr-D ([\d.]+) &middot;", page) == ["0.0", "1.0", "4.0", "3.0"]
    assert page.index("Worst") < page.index("Best")
    write_page(tmp_path / "page.html", examples, dict.fromkeys(range(5), caption), dict(enumerate(range(5))), limit=1)
    assert re.findall(r"CIDEr-D ([\d.]+) &middot;", (tmp_path / "page.html").read_text()) == ["0.0"]
