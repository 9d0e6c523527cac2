"""The blocks of a Markdown document: which of its text is prose, which is HTML, and which is neither.

After CommonMark (https://spec.commonmark.org/0.31.2/#appendix-a-parsing-strategy), as far as images depend on it.
"""

import re
from dataclasses import dataclass, field

QUOTE = re.compile(r">")
ITEM = re.compile(r"(?:[-+*]|(?P<number>\d{1,9})[.)])(?=[ \t\r]|\Z)")
FENCE = re.compile(r"(?P<fence>`{3,})[^`]*\Z|(?P<waves>~{3,})")
HEADING = re.compile(r"#{1,6}(?:[ \t\r]|\Z)")
RULE = re.compile(r"(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})\r?\Z")
# Quotes and lists within each other; nobody writes so many, and each costs time on every line.
DEEPEST = 100
UNDERLINE = re.compile(r"(?:=+|-+)[ \t\r]*\Z")
FRONT_MATTER = re.compile(r"(?P<mark>---|\+\+\+)[ \t]*\r?\n(?:.*\n)*?(?P=mark)[ \t]*\r?(?:\n|\Z)")

OPENING_TAG = (
    r"<[A-Za-z][A-Za-z0-9-]*(?:\s+[A-Za-z_:@][\w.:@-]*(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+))?)*+\s*/?>"
)
CLOSING_TAG = r"</[A-Za-z][A-Za-z0-9-]*\s*>"
BLOCK_TAGS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|"
    "fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|"
    "menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|"
    "track|ul"
)
# How HTML begins that stands by itself, and how it ends: None means at a blank line.
HTML_BLOCKS = [
    (re.compile(begin, re.IGNORECASE), end and re.compile(end, re.IGNORECASE))
    for begin, end in (
        (r"<(?:script|pre|style|textarea)(?:\s|>|\Z)", r"</(?:script|pre|style|textarea)>"),
        (r"<!--", r"-->"),
        (r"<\?", r"\?>"),
        (r"<![A-Z]", r">"),
        (r"<!\[CDATA\[", r"\]\]>"),
        (rf"</?(?:{BLOCK_TAGS})(?:\s|/?>|\Z)", None),
        (rf"(?:{OPENING_TAG}|{CLOSING_TAG})\s*\Z", None),
    )
]


@dataclass
class Line:
    """A line that is being read: `first` is its first character that is no space, `indent` how far in that stands.

    `used` is the column up to which the quotes and lists around have taken it.
    """

    text: str
    start: int
    end: int
    used: int = 0
    first: int = field(init=False)
    column: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.first = self.start
        self._skip_space()

    def _skip_space(self) -> None:
        while self.first < self.end and self.text[self.first] in " \t":
            self.column += 4 - self.column % 4 if self.text[self.first] == "\t" else 1
            self.first += 1

    @property
    def indent(self) -> int:
        """Columns of space before the first character."""
        return self.column - self.used

    @property
    def rest(self) -> str:
        """From the first character on."""
        return self.text[self.first : self.end]

    @property
    def blank(self) -> bool:
        """Whether nothing is left."""
        return not self.rest.strip("\r")

    def take(self, length: int) -> None:
        """Take a mark of so many characters off."""
        self.first += length
        self.column += length
        self.used = self.column
        self._skip_space()


@dataclass
class Blocks:
    """What a Markdown document consists of, as spans of its text.

    Attributes:
        prose: paragraphs, headings and rows of tables, in which Markdown's inline marks count.
        dead: front matter, code, and the marks of quotes and lists.
    """

    prose: list[tuple[int, int]] = field(default_factory=list)
    dead: list[tuple[int, int]] = field(default_factory=list)


class BlockReader:
    """Reads a document line by line. A container is a list item, by its width, or a quote, which is None."""

    def __init__(self, text: str):
        self.blocks = Blocks()
        self._text = text
        self._containers: list[int | None] = []
        self._paragraph: tuple[int, int] | None = None
        self._bare = False  # whether the line before held nothing but a list item's mark
        self._fence = ""
        self._html: list[re.Pattern | None] = []  # the end of the HTML that is open, if any is

    def read(self) -> Blocks:
        """The blocks of the whole document."""
        start = 0
        if front_matter := FRONT_MATTER.match(self._text):
            start = front_matter.end()
            self.blocks.dead.append((0, start))
        while start < len(self._text):
            end = self._text.find("\n", start)
            end = len(self._text) if end < 0 else end
            self._read_line(Line(self._text, start, end))
            start = end + 1
        self._close(0)
        return self.blocks

    def _read_line(self, line: Line) -> None:
        kept = self._match_containers(line)
        self._bare = False
        if kept < len(self._containers):
            if self._paragraph and not line.blank and (line.indent >= 4 or not begins_block(line.rest)):
                self._extend(line)  # a paragraph goes on even where the quote's mark is left out
                return
            self._close(kept)
        if self._fence:
            self._read_code(line)
        elif self._html:
            self._read_html(line)
        else:
            self._open_containers(line)
            self._read_leaf(line)

    def _match_containers(self, line: Line) -> int:
        """Take the marks of the open containers off a line; returns how many of them go on."""
        for depth, width in enumerate(self._containers):
            if width is None:
                if line.blank or line.indent > 3 or not QUOTE.match(line.rest):
                    return depth
                take_quote(line)
            elif line.indent >= width:
                line.used += width
            elif not line.blank or (self._bare and depth == len(self._containers) - 1):
                return depth
        return len(self._containers)

    def _open_containers(self, line: Line) -> None:
        while len(self._containers) < DEEPEST and not line.blank and line.indent < 4:
            if QUOTE.match(line.rest):
                self._end_paragraph()
                take_quote(line)
                self._containers.append(None)
                continue
            item = None if RULE.match(line.rest) else ITEM.match(line.rest)
            # Within a paragraph, "1984. That was…" at a line's beginning is no list.
            if not item or (self._paragraph and (item["number"] or "1") != "1"):
                return
            indent, length = line.indent, len(item[0])
            if self._paragraph and not line.rest[length:].strip():
                return
            self._end_paragraph()
            line.take(length)
            spaces = line.indent if not line.blank and line.indent <= 4 else 1
            line.used += min(spaces, line.indent)
            self._containers.append(indent + length + spaces)
            self._bare = line.blank

    def _read_leaf(self, line: Line) -> None:
        rest = line.rest
        if line.blank:
            self._end_paragraph()
        elif self._paragraph and line.indent >= 4:
            self._extend(line)
        elif line.indent >= 4:
            self._kill(line)
        elif fence := FENCE.match(rest.rstrip("\r")):
            self._end_paragraph()
            self._fence = fence["fence"] or fence["waves"]
            self._kill(line)
        elif html := html_block(rest, bool(self._paragraph)):
            self._end_paragraph()
            self._html = html
            self._read_html(line)
        elif HEADING.match(rest):
            self._end_paragraph()
            self._extend(line)
            self._end_paragraph()
        elif RULE.match(rest) or (self._paragraph and UNDERLINE.match(rest)):
            self._end_paragraph()
            self._kill(line)
        else:
            self._extend(line)

    def _read_code(self, line: Line) -> None:
        self._kill(line)
        mark = line.rest.rstrip(" \t\r")
        if line.indent < 4 and len(mark) >= len(self._fence) and not mark.strip(self._fence[0]):
            self._fence = ""

    def _read_html(self, line: Line) -> None:
        self.blocks.dead.append((line.start, line.first))
        end = self._html[0]
        if end.search(line.rest) if end else line.blank:
            self._html = []

    def _extend(self, line: Line) -> None:
        self.blocks.dead.append((line.start, line.first))
        self._paragraph = (self._paragraph[0] if self._paragraph else line.first, line.end)

    def _kill(self, line: Line) -> None:
        self.blocks.dead.append((line.start, line.end))

    def _end_paragraph(self) -> None:
        if self._paragraph:
            self.blocks.prose.append(self._paragraph)
        self._paragraph = None

    def _close(self, kept: int) -> None:
        self._end_paragraph()
        self._fence, self._html = "", []
        del self._containers[kept:]


def take_quote(line: Line) -> None:
    """Take off a quote's mark and the space that belongs to it."""
    line.take(1)
    line.used += min(1, line.indent)


def html_block(rest: str, within_paragraph: bool) -> list[re.Pattern | None]:
    """The end of the HTML that begins here, in a list; an empty list if none does."""
    # The last kind, any tag alone on its line, does not interrupt a paragraph.
    kinds = HTML_BLOCKS[:-1] if within_paragraph else HTML_BLOCKS
    return next(([end] for begin, end in kinds if begin.match(rest)), [])


def begins_block(rest: str) -> bool:
    """Whether a line ends the paragraph before it, whose container it is not in."""
    starts = (QUOTE, ITEM, HEADING, RULE)
    return any(start.match(rest) for start in starts) or bool(FENCE.match(rest.rstrip("\r")) or html_block(rest, True))
