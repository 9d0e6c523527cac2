"""Images without alternative text in HTML: which are found, where, and why others are left alone."""

import random

import pytest

from captioner.batch.alt_html import as_attribute, find_images


def wanting(text: str, **kind: bool) -> list[str]:
    """The addresses of the images that want a caption."""
    return [mention.source for mention in find_images(text, **kind) if not mention.reason]


def reason(text: str) -> str:
    """Why the only image is left alone."""
    (mention,) = find_images(text)
    return mention.reason


def described(text: str) -> str:
    """The document with "T" as the text of every image that wants one."""
    for mention in reversed(find_images(text)):
        if not mention.reason:
            text = text[: mention.position] + mention.wording("T") + text[mention.position :]
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<img src="a.png">', '<img alt="T" src="a.png">'),
        ("<IMG SRC=a.png>", '<IMG alt="T" SRC=a.png>'),
        ("<img\n  src='a.png'\n>", "<img alt=\"T\"\n  src='a.png'\n>"),
        ('<img src="a.png"/>', '<img alt="T" src="a.png"/>'),
        ("<img/src=a.png>", '<img alt="T"/src=a.png>'),
        ("<p><img src=a.png><p>b", '<p><img alt="T" src=a.png><p>b'),
        ('<img title="a > b" src=a.png>', '<img alt="T" title="a > b" src=a.png>'),
        ('<img title="alt=x" src=a.png>', '<img alt="T" title="alt=x" src=a.png>'),
        ('<img data-alt="x" src=a.png>', '<img alt="T" data-alt="x" src=a.png>'),
        (
            '<picture><source srcset="a.webp"><img src="a.png"></picture>',
            '<picture><source srcset="a.webp"><img alt="T" src="a.png"></picture>',
        ),
    ],
)
def test_the_text_goes_right_after_the_name(before, after):
    assert described(before) == after


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ('"a&amp;b.png"', "a&b.png"),
        ('"a&#x26;b&#46;png"', "a&b.png"),
        ('"a.png?x=1&copy=2"', "a.png?x=1&copy=2"),  # browsers read no © here
        ('"&copyb.png"', "&copyb.png"),
        ('"&copy.png"', "©.png"),
        ('"&Auml;.png"', "Ä.png"),
        ('"  a.png\n"', "a.png"),
        ('"long/\n  path.png"', "long/  path.png"),
        ("'it\"s.png'", 'it"s.png'),
        ("a.png?b=c", "a.png?b=c"),
    ],
)
def test_addresses_are_read_as_browsers_read_them(written, address):
    assert wanting(f"<img src={written}>") == [address]


def test_of_two_attributes_of_a_name_the_first_counts():
    assert wanting("<img src=a.png SRC=b.png>") == ["a.png"]
    assert wanting('<img src="a.png"alt="text">') == []


@pytest.mark.parametrize(
    "text",
    [
        "<!-- <img src=a.png> -->",
        "<!-- > <img src=a.png>",
        "<!--[if IE]><img src=a.png><![endif]-->",
        "<script>write('<img src=a.png>')</script>",
        "<SCRIPT type=x>'<img src=a.png>'</Script >",
        "<script><!-- <script></script> <img src=a.png> --></script>",
        "<script>'<img src=a.png>'",
        "<style>/* <img src=a.png> */</style>",
        "<textarea><img src=a.png></textarea>",
        "<title><img src=a.png></title>",
        "<iframe><img src=a.png></iframe>",
        "<xmp><img src=a.png></xmp>",
        "<plaintext></plaintext><img src=a.png>",
        "<![CDATA[ <b> <img src=a.png> ]]>",
        "<?php echo '<img src=a.png>'; ?>",
        "<?php if ($a > 1) echo '<img src=a.png>';",
        "<% '<img src=a.png>' %>",
        "{{ '<img src=a.png>' }}",
        "{# <img src=a.png> #}",
        "<a title='<img src=a.png>'>",
        "<img src='a.png",
        "<img src=a.png",
        "<imgs src=a.png>",
        "< img src=a.png>",
        "</img src=a.png>",
        "<image src=a.png>",
        '<img src="a.png" alt="A dog.">',
        "<img alt=x src=a.png>",
    ],
)
def test_what_is_no_image_without_text_is_not_seen(text):
    assert find_images(text) == []


@pytest.mark.parametrize(
    "before",
    [
        "<!-->",
        "<!--->",
        "<!-- a --!>",
        "<!DOCTYPE html>",
        "<?xml version='1.0'?>",
        "<?xml:namespace prefix = o />",
        "</ >",
        "<script></script>",
        "<script><!-- </script>",
        "<script>a</scripty></script>",
        "<title>a</title>",
        "<svg><title/></svg>",
        "<svg><style/><g/></svg>",
        "a < b",
        "{{",
        "{{ a }}",
        "{% if a %}",
        "<% a > b %>",
        "<?php a -> b ?>",
        "<li>one<li>two",
        "<a href={{ a > b }}>",
        """<a href="{{ url("x") }}">""",
        """<a title="{{">""",
    ],
)
def test_what_comes_before_hides_nothing(before):
    assert wanting(f"{before}<img src=a.png>") == ["a.png"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<img src="a.png" alt="">', 'alt=""'),
        ("<img src=a.png alt>", 'alt=""'),
        ("<img src=a.png ALT=' '>", 'alt=""'),
        ("<img src=a.png role=presentation>", 'role="presentation"'),
        ("<img src=a.png role='None'>", 'role="None"'),
        ("<img src=a.png aria-hidden=true>", "aria-hidden"),
        ('<img src=a.png aria-label="Logo">', "aria-label"),
        ("<img>", "no src"),
        ("<img src=''>", "no src"),
        ("<img srcset='a.png 2x'>", "srcset"),
        ("<img data-src=a.png>", "data-src"),
        ("<img src=blank.gif data-src=a.png>", "data-src"),
        ("<img src='data:image/gif;base64,R0' data-lazy-src=a.png>", "data-lazy-src"),
        ("<noscript><p><img src=a.png></noscript>", "<noscript>"),
        ("<template><template></template><img src=a.png></template>", "<template>"),
        ("<img src='{{ page.image }}'>", "template"),
        ("<img src={{image}}>", "template"),
        ("""<img src="{{ url_for("static", filename="a.png") }}" class=x>""", "template"),
        ("""<img src="{% static "a.png" %}">""", "template"),
        ("""<img src="<?php echo $a->b; ?>">""", "template"),
        ("""<img <?php if ($a > 1): ?>alt="x"<?php endif ?> src=a.png>""", "template"),
        ("""<img src="<%= image_path("a>b.png") %>">""", "template"),
        ("<img src=a.png {{ attributes }}>", "template"),
        ("<img src=a.png {% if a %}alt=''{% endif %}>", "template"),
        ("<img src='${base}/a.png'>", "template"),
        ("<img src={logo}>", "template"),
        ("<img src=a.png :alt='title'>", "template"),
        ("<img v-bind:src='a'>", "template"),
        ("<img src=a.png [alt]='title'>", "template"),
        ("<img th:src='@{/a.png}'>", "template"),
        ("<img ng-src='a'>", "template"),
        ("<base href='{{ root }}'><img src=a.png>", "<base>"),
    ],
)
def test_what_is_left_alone_has_a_reason(text, why):
    assert why in reason(text)


def test_noscript_and_template_end():
    text = "<noscript><img src=a.png></noscript><template><img src=b.png></template></template><img src=c.png>"
    assert wanting(text) == ["c.png"]


@pytest.mark.parametrize(
    ("base", "source", "address"),
    [
        ("/", "a.png", "/a.png"),
        ("/sub/page.html", "a.png", "/sub/a.png"),
        ("sub/", "../../a.png", "sub/../../a.png"),
        ("sub/", "/a.png", "/a.png"),
        ("sub/", "https://example.com/a.png", "https://example.com/a.png"),
        ("https://example.com/x/", "a.png", "https://example.com/x/a.png"),
        ("//example.com", "/a.png", "//example.com/a.png"),
        ("page.html", "a.png", "a.png"),
    ],
)
def test_base_counts_wherever_it_stands(base, source, address):
    text = f"<img src='{source}'><BASE HREF='{base}'><base href='/other/'>"
    assert [mention.source for mention in find_images(text)] == [address]


def test_in_xhtml_a_script_may_be_complete():
    text = "<script src='a.js'/><title/><img src='a.png'/>"
    assert wanting(text, xml=True) == ["a.png"]
    assert wanting(text) == []


def test_leniency_takes_what_never_ends_for_text():
    assert wanting("the <title> and 1 <b c='x <img src=a.png>", lenient=True) == ["a.png"]
    assert wanting("the <title> and <img src=a.png></title><img src=b.png>", lenient=True) == ["b.png"]


def test_captions_are_escaped():
    assert as_attribute('A "b" & <c>\n it\'s') == ' alt="A &quot;b&quot; &amp; &lt;c> it\'s"'.replace("c>", "c&gt;")


PIECES = (
    *("<img src=N>", "<IMG SRC='N'/>", '<img\nsrc="N">', "<img src=N alt=x>", "<img src=N alt>", "<img", "src=N", ">"),
    *("<!--", "-->", "<script>", "</script>", "<title>", "</title>", "<svg>", "</svg>", "<noscript>", "</noscript>"),
    *("<p title='", "'", '"', "<", "{{", "}}", "{%", "%}", "<?php", "?>", "<a b=", "text ", "\n", "\r\n", "&amp;", "é"),
)


@pytest.mark.parametrize("seed", range(300))
def test_a_described_image_is_no_longer_found_and_nothing_else_changes(seed):
    chance = random.Random(seed)
    text = "".join(chance.choice(PIECES).replace("N", f"{number}.png") for number in range(chance.randint(1, 30)))
    mentions = find_images(text)
    assert all(text[: mention.position].lower().endswith("<img") for mention in mentions)
    after = described(text)
    assert after.replace(' alt="T"', "") == text
    left = [(mention.source, mention.reason) for mention in mentions if mention.reason]
    assert [(mention.source, mention.reason) for mention in find_images(after)] == left


def test_long_and_hostile_documents_take_no_time():
    for piece in ("{{", "<a b='", "<!--", "<img src=", "<script>", "{% ", "{# ", "<% ", "<? ", "<svg>", '<a b="{{'):
        find_images(piece * 3000)
