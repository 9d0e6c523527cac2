"""Images without alternative text in Markdown: which are found, where, and why others are left alone."""

import random
import time

import pytest

from captioner.batch.alt_markdown import as_text, find_in_markdown


def wanting(text: str) -> list[str]:
    """The addresses of the images that want a caption."""
    return [mention.source for mention in find_in_markdown(text) if not mention.reason]


def described(text: str) -> str:
    """The document with "T" as the text of every image that wants one."""
    for mention in reversed(find_in_markdown(text)):
        if not mention.reason:
            text = text[: mention.position] + mention.wording("T") + text[mention.position :]
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("![](a.png)", "![T](a.png)"),
        ('![]( a.png "title" )', '![T]( a.png "title" )'),
        ("![](<a b.png> 'title')", "![T](<a b.png> 'title')"),
        ("[![](a.png)](b)", "[![T](a.png)](b)"),
        ("![][ref]\n\n[ref]: a.png", "![T][ref]\n\n[ref]: a.png"),
        ("# ![](a.png) #", "# ![T](a.png) #"),
        ("| ![](a.png) |\r\n|---|\r\n", "| ![T](a.png) |\r\n|---|\r\n"),
        ("*![](a.png)*", "*![T](a.png)*"),
        ("![](\n  a.png\n  'x')", "![T](\n  a.png\n  'x')"),
        ('<p align="center">\n    <img src=a.png>\n</p>', '<p align="center">\n    <img alt="T" src=a.png>\n</p>'),
        ("text <img src=a.png> text", 'text <img alt="T" src=a.png> text'),
    ],
)
def test_the_text_goes_between_the_brackets(before, after):
    assert described(before) == after


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("(a.png)", "a.png"),
        ("(<a b.png>)", "a b.png"),
        ("(a(1).png)", "a(1).png"),
        ("(a((1)).png)", "a((1)).png"),
        (r"(a\)b.png)", "a)b.png"),
        (r"(a\b.png)", r"a\b.png"),
        ("(a&amp;b.png)", "a&b.png"),
        ("(a%20b.png)", "a%20b.png"),
        ("(a.png?x=1#y)", "a.png?x=1#y"),
        ("(<a(.png>)", "a(.png"),
        ("(a.png (title))", "a.png"),
        (r'(a.png "a \" b")', "a.png"),
        ("(a.png){width=50%}", "a.png"),
        ("(`a`.png)", "`a`.png"),
    ],
)
def test_addresses(written, address):
    assert wanting(f"![]{written}") == [address]


@pytest.mark.parametrize(
    "text",
    [
        "![A dog](a.png)",
        r"!\[](a.png)",
        r"\![](a.png)",
        "![](a b.png)",
        "![](a.png",
        "![] (a.png)",
        "![]",
        "![](a.png){: alt='A dog'}",
        "![](a.png){.wide fig-alt='A dog'}",
        "`![](a.png)`",
        "`` ` ![](a.png) ``",
        "a `code\nover lines ![](a.png)` b",
        "```\n![](a.png)\n```",
        "```html\n<img src=a.png>\n```",
        "~~~~\n![](a.png)\n~~~\n![](b.png)\n~~~~",
        "```\n![](a.png)",
        "- a\n\n  ```\n  ![](a.png)\n  ```",
        "> ```\n> ![](a.png)\n> ```",
        "    ![](a.png)",
        "\t<img src=a.png>",
        "text\n\n    ![](a.png)\n\n    <img src=a.png>",
        "- a\n\n      ![](a.png)",
        ">     ![](a.png)",
        "<!-- ![](a.png) -->",
        "<!--\n\n![](a.png)\n\n-->",
        "a <!-- ![](a.png)\n<img src=a.png> --> b",
        "<div>\n![](a.png)\n</div>",
        "<script>\n\n![](a.png)\n\n</script>",
        "<pre>\n\n![](a.png)\n</pre>",
        "<a title='![](a.png)'>",
        r"\<img src=a.png>",
        "`<img src=a.png>`",
        "<img src=a.png",
        "a <b <img src=a.png",
        "<https://example.com/![](a.png)>",
        "---\nimage: ![](a.png)\nhtml: <img src=a.png>\n---\n",
        "+++\na = '![](a.png)'\n+++",
        "{{ '![](a.png)' }}",
        '{{< figure src="![](a.png)" >}}',
        "[a]: <![](a.png)>",
    ],
)
def test_what_is_no_image_without_text_is_not_seen(text):
    assert find_in_markdown(text) == []


@pytest.mark.parametrize(
    "before",
    [
        "---\ntitle: x\n---\n",
        "---\n",
        "```\ncode\n```\n",
        "````\n```\n````\n",
        "~~~\n```\n~~~\n",
        "``` a`b\n",
        "> ```\n\n",
        "- ```\n\n",
        "1. one\n\n   ",
        "- one\n\n    ",
        "- one\n  - two\n\n       ",
        "> a\n> ",
        "> a\n",
        "a\n    ",
        "1) ",
        "a ` b ",
        "a\\` ",
        "`a` ",
        "a < b ",
        "the <title> ",
        "`<!--` ",
        "a `<script>` b\n\n",
        "    <script>\n\n",
        "<div>\n\n",
        "<div>\n</div>\n\n",
        "<!-- a -->\n",
        "<!-- a\n-->\n\n",
        "[^1]: ",
        "[^1]: Note.\n\n",
        "a\n===\n",
        "a\n---\n",
        "***\n",
        "![](<title page.png) ",
        "[a](<title page.html>) ",
        "$\\frac{{a}{b}$ ",
        "## Heading {#id}\n",
    ],
)
def test_what_comes_before_hides_nothing(before):
    assert wanting(f"{before}![](a.png)") == ["a.png"]
    assert wanting(f"{before}![](a.png)".replace("\n", "\r\n")) == ["a.png"]
    if "<div>\n\n" not in before:
        assert "b.png" in wanting(f"{before}x\n\n<img src=b.png>")


def test_definitions_with_other_line_ends():
    assert wanting("![][a] ![][b]\r\n\r\n[a]: x.png 'y'\r\n[b]: z.png\r\n") == ["x.png", "z.png"]


def test_a_definition_may_stand_anywhere_and_the_first_counts():
    text = "![][A  ref] ![][b]\n\n> [a\n> REF]: <x y.png>\n> 'title'\n[b]: z.png\n'no title' ![](c.png)\n\n[b]: d.png"
    assert wanting(text) == ["x y.png", "z.png", "c.png"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("![]()", "no address"),
        ("![](<>)", "no address"),
        ("![][ref]", "not defined"),
        ("![]({{ site.url }}/a.png)", "template"),
        ("![]({{site.url}}/a.png)", "template"),
        ("![]({% link a.png %})", "template"),
        ("![][r]\n\n[r]: {{url}}/a.png", "template"),
        ("<img src=a.png alt=''>", 'alt=""'),
        ("<img src='{{ a }}'>", "template"),
    ],
)
def test_what_is_left_alone_has_a_reason(text, why):
    (mention,) = find_in_markdown(text)
    assert why in mention.reason


def test_a_real_readme():
    text = """<h1 align="center">
  <a href="https://example.com"><img src="logo.png" width="200"></a>
</h1>

![](docs/screen.png) [![](badge.svg)](https://example.com) ![Build](build.svg)

1. Write `![](path)`:

   ```md
   ![](path/to/image.png)
   ```

   ![](step1.png)
2. Then <kbd>Ctrl</kbd>.

       ![](code.png)

<details><summary>More</summary>

| before | after |
|--------|-------|
| ![](before.png) | ![][after] |

</details>

[after]: after.png "After"
"""
    assert wanting(text) == ["logo.png", "docs/screen.png", "badge.svg", "step1.png", "before.png", "after.png"]


def test_captions_are_escaped():
    caption = "a [b] \\ `c` *d* _e_ <f> & |\n g"
    escaped = as_text(caption)
    assert escaped == r"a \[b\] \\ \`c\` \*d\* \_e\_ \<f\> \& \| g"
    assert find_in_markdown(f"![{escaped}](a.png)") == []


PIECES = (
    *(
        "![](N)",
        "![](<N>)",
        "![][N]",
        "[N]: N",
        "<img src=N>",
        "<img src=N alt=''>",
        "`",
        "``",
        "```",
        "~~~",
        "\\",
        "![",
    ),
    *(
        "    ",
        "\t",
        "- ",
        "> ",
        "1. ",
        "# ",
        "---",
        "<!--",
        "-->",
        "<div>",
        "</div>",
        "<script>",
        "</script>",
        "text",
        "é",
    ),
    *("\n", "\n", "\n", "\n\n", "\n\n", "\r\n", "{{", "}}", "(", ")", "[", "]", "<", ">", '"', "'", " "),
)


@pytest.mark.parametrize("seed", range(300))
def test_a_described_image_is_no_longer_found_and_nothing_else_changes(seed):
    chance = random.Random(seed)
    text = "".join(chance.choice(PIECES).replace("N", f"{number}.png") for number in range(chance.randint(1, 30)))
    mentions = find_in_markdown(text)
    for mention in mentions:
        assert text[: mention.position].endswith(("![", "<img"))
    after = described(text)
    assert after.replace(' alt="T"', "").replace("![T", "![") == text
    left = [(mention.source, mention.reason) for mention in mentions if mention.reason]
    assert [(mention.source, mention.reason) for mention in find_in_markdown(after)] == left


def test_long_and_hostile_documents_take_no_time():
    for piece in ("![](", "![](a(", "`", "<a b=", "> ", "- ", "[", "![][", "{{", "<!--", "![](<a", "[a]:\n", '![](a "'):
        find_in_markdown(piece * 1500)
        find_in_markdown(f"{piece}\n" * 500)


@pytest.mark.parametrize(
    "text",
    ["- " * 40_000 + "x", "<script>" * 40_000, "![](" + " " * 50_000, "![](a){" * 10_000],
    ids=["nested lists", "scripts that never end", "a gap", "attributes that never end"],
)
def test_time_grows_no_faster_than_the_document(text):
    start = time.process_time()
    find_in_markdown(text)
    assert time.process_time() - start < 5  # seconds, of which each needed more than ten once
