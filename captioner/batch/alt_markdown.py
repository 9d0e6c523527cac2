"""Images without alternative text in Markdown, and where in the text each stands; those of HTML within it too."""

import html
import re

from .alt_blocks import CLOSING_TAG, OPENING_TAG, BlockReader
from .alt_document import Mention
from .alt_html import TEMPLATE, TEMPLATE_SIGN, find_images, without_space

PUNCTUATION = r"[!-/:-@\[-`{-~]"
GAP = r"[ \t\r\n]*+"
# Parentheses in an address may stand unescaped if they are balanced; three deep is deep enough.
PIECE = r"\\[^ \t\r\n]|[^\\ ()\x00-\x1f\x7f]|\\(?![^ \t\r\n])"
NESTED = rf"\((?:{PIECE}|\((?:{PIECE}|\((?:{PIECE})*+\))*+\))*+\)"
DESTINATION = rf"<(?P<angled>(?:\\.|[^\\<>\r\n])*+)>|(?P<plain>(?!<)(?:{PIECE}|{NESTED})++)"
TITLE = r""""(?:\\.|[^"\\])*+"|'(?:\\.|[^'\\])*+'|\((?:\\.|[^()\\])*+\)"""
LABEL = r"\[(?P<label>(?:\\.|[^\[\]\\])++)\]"

EMPTY_TEXT = re.compile(rf"!\[{GAP}\]")
INLINE = re.compile(rf"\({GAP}(?:(?:{DESTINATION})(?:[ \t\r\n]++(?:{TITLE}))?)?{GAP}\)", re.DOTALL)
TEMPLATED = re.compile(r"\([^)\r\n]{0,200}?(?:\{\{|\{%|<%|<\?)[^)\r\n]{0,200}")
REFERENCE = re.compile(LABEL, re.DOTALL)
# A definition's title may be on the next line; if what stands there is none, the definition ends before it.
DEFINED = rf"[ ]{{0,3}}{LABEL}:{GAP}(?:{DESTINATION})"
LINE_END = r"[ \t]*\r?(?:\n|\Z)"
TITLED = re.compile(rf"{DEFINED}(?:[ \t]+|[ \t]*\r?\n[ \t]*)(?:{TITLE}){LINE_END}", re.DOTALL)
UNTITLED = re.compile(rf"{DEFINED}{LINE_END}", re.DOTALL)
# Attributes after an image, as Pandoc, Kramdown and Quarto read them, may name its text.
NAMED_BESIDE = re.compile(r"\{[^}\n]{0,1000}\balt\s*=")
ANGLED_LINK = re.compile(rf"\]\({GAP}<(?:\\.|[^\\<>\r\n])*+>")
INLINE_HTML = re.compile(
    rf"{OPENING_TAG}|{CLOSING_TAG}|<!--(?:-?>|.*?-->)|<\?.*?\?>|<![A-Za-z].*?>|<!\[CDATA\[.*?\]\]>"
    r"|<[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*>",
    re.DOTALL,
)
SPECIAL = re.compile(rf"(?P<template>{TEMPLATE})|\\.|(?P<ticks>`+)|(?P<open><)|!\[|\]\(", re.DOTALL)


def find_in_markdown(text: str) -> list[Mention]:
    """The images without text, in order: `![](…)`, `![][…]`, and `<img>` where Markdown takes it for HTML."""
    reader = ProseReader(text)
    mentions = reader.read()
    return sorted([*mentions, *find_images(reader.markup(), lenient=True)], key=lambda mention: mention.position)


class ProseReader:
    """Finds Markdown's own images in the prose of a document, and what in it is no HTML."""

    def __init__(self, text: str):
        self._text = text
        self._blocks = BlockReader(text).read()
        self._hidden: list[tuple[int, int]] = []  # from the eyes of the HTML reader
        self._definitions: dict[str, str] = {}
        self._mentions: list[Mention] = []
        # Marks at the beginning of lines become spaces, so that prose can be read across lines; positions stay.
        self._prose = blanked(text, self._blocks.dead)

    def read(self) -> list[Mention]:
        """Markdown's own images."""
        spans = [(self._read_definitions(start, end), end) for start, end in self._blocks.prose]
        for start, end in spans:
            self._read_prose(start, end)
        return self._mentions

    def markup(self) -> str:
        """The text in which only HTML is left, all at its place; to be called after `read`."""
        return blanked(self._prose, self._hidden)

    def _read_definitions(self, start: int, end: int) -> int:
        """Remember the definitions of references that a paragraph begins with; returns where they end."""
        while True:
            found = TITLED.match(self._prose, start, end) or UNTITLED.match(self._prose, start, end)
            if not found or found["label"].startswith("^"):  # a footnote, which may hold images
                return start
            self._definitions.setdefault(normalised(found["label"]), address(found))
            self._hidden.append(found.span())
            start = found.end()

    def _read_prose(self, position: int, end: int) -> None:
        while found := SPECIAL.search(self._prose, position, end):
            position = found.end()
            if found["ticks"]:
                position = self._after_code(found, end)
            elif found["open"]:
                position = self._after_html(found.start(), end)
            elif found[0] == "![":
                position = self._after_image(found.start(), end)
            elif found[0] == "](":
                if link := ANGLED_LINK.match(self._prose, found.start(), end):
                    self._hidden.append(link.span())
            elif found["template"] is None:  # a backslash
                self._hidden.append(found.span())

    def _after_code(self, ticks: re.Match, end: int) -> int:
        """The end of the code that backticks open, or of the backticks, if nothing closes it."""
        closing = re.compile(rf"(?<!`){ticks[0]}(?!`)").search(self._prose, ticks.end(), end)
        if not closing:
            return ticks.end()
        self._hidden.append((ticks.start(), closing.end()))
        return closing.end()

    def _after_html(self, start: int, end: int) -> int:
        found = INLINE_HTML.match(self._prose, start, end)
        if not found:
            self._hidden.append((start, start + 1))
            return start + 1
        return found.end()

    def _after_image(self, start: int, end: int) -> int:
        """Remember an image if its text is empty; returns where to read on."""
        empty = EMPTY_TEXT.match(self._prose, start, end)
        if not empty:
            return start + len("![")  # its text may hold code and images
        position, source, reason = empty.end(), "", ""
        if found := INLINE.match(self._prose, position, end):
            source = address(found)
            reason = "" if source else "it has no address"
        elif found := REFERENCE.match(self._prose, position, end):
            source = self._definitions.get(normalised(found["label"]))
            if source is None:
                source, reason = found["label"], "its reference is not defined"
        elif found := TEMPLATED.match(self._prose, position, end):
            source = found[0][1:].strip()
        else:
            return position
        if TEMPLATE_SIGN.search(source):
            reason = "a template fills in its address"
        if not NAMED_BESIDE.match(self._prose, found.end(), end):
            self._mentions.append(Mention(start + len("!["), source, as_text, reason))
        self._hidden.append(found.span())
        return found.end()


def blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with spaces in place of the given spans; line breaks stay."""
    pieces, position = [], 0
    for start, end in sorted(spans):
        if end > position:
            start = max(start, position)
            pieces += [text[position:start], re.sub(r"[^\r\n]", " ", text[start:end])]
            position = end
    return "".join([*pieces, text[position:]])


def address(found: re.Match) -> str:
    """The address in a match of DESTINATION, without Markdown's escapes."""
    written = found["angled"] if found["angled"] is not None else found["plain"] or ""
    return without_space(html.unescape(re.sub(rf"\\({PUNCTUATION})", r"\1", written)))


def normalised(label: str) -> str:
    """A reference's label as it is compared: whatever its case and spaces."""
    return " ".join(label.split()).casefold()


def as_text(caption: str) -> str:
    """What to insert after `![`."""
    return re.sub(r"([\\`*_\[\]<>&|~$])", r"\\\1", " ".join(caption.split()))
