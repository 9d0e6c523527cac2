"""Images without alternative text in HTML, and where in the text each stands.

A small tokenizer after the standard (https://html.spec.whatwg.org/multipage/parsing.html#tokenization), because every
position must be exact, and because template languages, whose files are no HTML yet, must be seen and left alone.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from urllib.parse import urljoin

from .alt_document import Mention

SPACE = r"[ \t\n\f\r]"
# What template languages write: {{ }} (not beyond a paragraph), {% %}, {# #}, <% %>, <?php ?>. None holds its own
# beginning again, which also keeps the search from taking longer than it must.
TEMPLATE = (
    r"(?:\{\{(?:(?!\{\{|\}\}|\n[ \t\r]*\n).)*+\}\}+|\{%(?:(?!\{%|%\}).)*+%\}|\{\#[-\s](?:(?!\{\#|\#\}).)*+\#\}"
    r"|<%(?:(?!<%|%>).)*+%>|<\?(?:php\b|=|\s).*?(?:\?>|\Z))"
)
TEMPLATE_SIGN = re.compile(r"\{\{|\{%|\{#[-\s]|<%|<\?|[$#@]\{")
# Attributes whose value a script or template computes: Vue, Alpine, Angular, Thymeleaf, Zope, Genshi.
BOUND = re.compile(r":|v-bind|x-bind|\[|bind-|ng-|th:|data-th-|tal:|py:|\{")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|\\\\")

MARKUP = re.compile(
    rf"""(?P<skip>
        {TEMPLATE}
        |<!--(?:-?>|.*?(?:--!?>|\Z))           # comments
        |<!\[CDATA\[.*?\]\]>
        |<[!?].*?(?:>|\Z)                      # declarations, instructions
        |</(?![A-Za-z]).*?(?:>|\Z)             # which browsers take for a comment
    )
    |<(?P<slash>/?)(?P<name>[A-Za-z](?:(?!{SPACE}|[/>]).)*)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
BETWEEN = re.compile(rf"(?:{SPACE}|/)*")
ATTRIBUTE = re.compile(
    rf"(?:{TEMPLATE}|(?!{SPACE}|[/>]).)(?:{TEMPLATE}|(?!{SPACE}|[/>=]).)*+", re.DOTALL | re.IGNORECASE
)
EQUALS = re.compile(rf"{SPACE}*={SPACE}*")
# Within quotation marks a template may use the same ones; if that leads nowhere, it was no template.
VALUE = re.compile(
    rf"""(?P<double>"(?:(?:{TEMPLATE}|[^"])*+"|[^"]*"))"""
    rf"""|(?P<single>'(?:(?:{TEMPLATE}|[^'])*+'|[^']*'))"""
    rf"""|(?P<bare>(?!["'])(?:{TEMPLATE}|(?!{SPACE}|>).)*+)""",
    re.DOTALL | re.IGNORECASE,
)
REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|(?P<name>[A-Za-z][A-Za-z0-9]*;?)(?P<equals>=?))")

# What stands in these elements is text, whatever it looks like.
RAW_TEXT = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext"}
# What stands in these is not shown, or only to some.
INERT = {"noscript", "template"}
SCRIPT_PART = re.compile(rf"<!--|-->|<(?P<slash>/?)script(?={SPACE}|[/>])", re.IGNORECASE)
LAZY = ("data-src", "data-srcset", "data-original", "data-lazy", "data-lazy-src", "data-lazy-srcset")


@dataclass(frozen=True)
class Tag:
    """A tag from `start` to `end` in the text; a closing one has no attributes that matter."""

    name: str
    closing: bool
    start: int
    end: int
    attributes: dict[str, str]
    empty: bool  # ends in "/>"


def find_images(text: str, xml: bool = False, lenient: bool = False) -> list[Mention]:
    """The `<img>` without text in their `alt`, in order.

    Args:
        text: of an HTML document, or a part of one.
        xml: whether `<script/>` has no content, as in XHTML.
        lenient: take what is never closed for text, as Markdown does, not for the rest of the document.
    """
    mentions, base = [], ""
    inert: list[str] = []
    for tag in tags(text, xml, lenient):
        if tag.name in INERT and not tag.empty:
            if not tag.closing:
                inert.append(tag.name)
            elif tag.name in inert:
                del inert[len(inert) - 1 - inert[::-1].index(tag.name) :]
        elif tag.closing:
            continue
        elif tag.name == "base" and not inert:
            base = base or tag.attributes.get("href", "").strip()
        elif tag.name == "img" and not tag.attributes.get("alt", "").strip():
            reason = why_not(tag, text[tag.start : tag.end], inert)
            source = without_space(tag.attributes.get("src", ""))
            mentions.append(Mention(tag.start + len("<img"), source, as_attribute, reason))
    return [based(mention, base) for mention in mentions] if base else mentions


def why_not(tag: Tag, written: str, inert: list[str]) -> str:
    """Why an image without text in its `alt` is to be left alone; empty if it is not."""
    attributes = tag.attributes
    source = attributes.get("src", "").strip()
    if TEMPLATE_SIGN.search(written) or source.startswith("{") or any(map(BOUND.match, attributes)):
        return "a template or script fills in its tag"
    if inert:
        return f"it stands in <{inert[-1]}>"
    if "alt" in attributes:
        return 'its alt="" says that it is decoration'
    if attributes.get("role", "").strip().lower() in ("presentation", "none"):
        return f'its role="{attributes["role"].strip()}" says that it is decoration'
    if attributes.get("aria-hidden", "").strip().lower() == "true":
        return 'its aria-hidden="true" hides it from those who would hear the text'
    if label := next((name for name in ("aria-label", "aria-labelledby") if attributes.get(name, "").strip()), ""):
        return f"its {label} is its text already"
    if lazy := next((name for name in LAZY if name in attributes), ""):
        return f"a script loads it later ({lazy})"
    if not source:
        return "it has a srcset, but no src" if "srcset" in attributes else "it has no src"
    return ""


def tags(text: str, xml: bool, lenient: bool) -> Iterator[Tag]:
    """The tags of a document, without those that stand in comments, templates, or elements of raw text."""
    position = foreign = 0
    unclosed: set[str] = set()  # so that a text is not searched to its end again and again
    while found := MARKUP.search(text, position):
        position = found.end()
        if found["skip"] is not None:
            continue
        tag = read_tag(text, found)
        if tag is None:
            if not lenient:
                return
            continue
        yield tag
        position = tag.end
        if tag.name in ("svg", "math") and not tag.empty:
            foreign = max(0, foreign - 1) if tag.closing else foreign + 1
        # In SVG, as in XML, <title/> is complete.
        is_raw = tag.name in RAW_TEXT and not tag.closing and not (tag.empty and (xml or foreign))
        if is_raw and tag.name not in unclosed:
            end = raw_text_end(text, tag)
            if end >= 0:
                position = end
            elif lenient:
                unclosed.add(tag.name)
            else:
                return


def read_tag(text: str, found: re.Match) -> Tag | None:
    """The tag whose beginning MARKUP has found; None if the text ends within it."""
    attributes: dict[str, str] = {}
    position = found.end()
    while True:
        position = BETWEEN.match(text, position).end()
        if position == len(text):
            return None
        if text[position] == ">":
            empty = text[position - 1] == "/"
            return Tag(found["name"].lower(), bool(found["slash"]), found.start(), position + 1, attributes, empty)
        name = ATTRIBUTE.match(text, position)
        position, value = name.end(), ""
        if equals := EQUALS.match(text, position):
            written = VALUE.match(text, equals.end())
            if not written:  # a quotation mark without its partner
                return None
            position = written.end()
            value = written[0] if written["bare"] is not None else written[0][1:-1]
        attributes.setdefault(name[0].lower(), unescape(value))  # of two with the same name the first counts


def raw_text_end(text: str, tag: Tag) -> int:
    """Where the closing tag of an element of raw text begins; -1 if it has none."""
    if tag.name == "plaintext":
        return -1
    if tag.name == "script":
        return script_end(text, tag.end)
    found = re.compile(rf"</{tag.name}(?={SPACE}|[/>])", re.IGNORECASE).search(text, tag.end)
    return found.start() if found else -1


def script_end(text: str, position: int) -> int:
    """Where a script ends: within `<!--` it may hold whole scripts, whose end is not its own."""
    commented = nested = False
    for part in SCRIPT_PART.finditer(text, position):
        if part[0] == "<!--":
            commented = True
        elif part[0] == "-->":
            commented = nested = False
        elif not part["slash"]:
            nested = commented
        elif nested:
            nested = False
        else:
            return part.start()
    return -1


def unescape(value: str) -> str:
    """Resolve the character references of an attribute; there, unlike in text, `&copy=1` is none."""

    def resolve(found: re.Match) -> str:
        known = found["name"] is None or (found["name"] in html5 and (not found["equals"] or found["name"][-1] == ";"))
        return html.unescape(found[0]) if known else found[0]

    return REFERENCE.sub(resolve, value)


def without_space(address: str) -> str:
    """An address as browsers read it: without surrounding spaces, and without line breaks and tabs."""
    return re.sub(r"[\t\n\r]", "", address.strip(" \t\n\f\r"))


def based(mention: Mention, base: str) -> Mention:
    """A mention whose address, if it is relative, starts from the document's `<base href>`."""
    source, reason = mention.source, mention.reason
    if TEMPLATE_SIGN.search(base):
        reason = reason or "a template fills in the document's <base>"
    elif SCHEME.match(base):
        source = urljoin(base, source)
    elif not SCHEME.match(source) and not source.startswith(("/", "\\")):
        source = base[: base.rfind("/") + 1] + source
    return Mention(mention.position, source, mention.wording, reason)


def as_attribute(caption: str) -> str:
    """What to insert after `<img`."""
    for char, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        caption = caption.replace(char, reference)
    return f' alt="{" ".join(caption.split())}"'
