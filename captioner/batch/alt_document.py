"""Documents as bytes that must not change: decoding without loss, insertions at positions, diffs, atomic writing."""

import codecs
import contextlib
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DocumentError
from ..files import replacing

MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
XML_ENCODING = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["']([\w.:-]+)""")
META_ENCODING = re.compile(rb"""<meta\s[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
# The standard lets browsers look no further than 1024 bytes; pages with long comments on top exist all the same.
DECLARED_WITHIN = 4096

# What the web means by the name of an encoding (https://encoding.spec.whatwg.org/#names-and-labels) where that is more
# than Python means by it. If the first does not fit, the next is tried.
MEANT = {
    "ascii": ("cp1252", "latin-1"),
    "iso8859-1": ("cp1252", "latin-1"),
    "cp1252": ("cp1252", "latin-1"),
    "iso8859-9": ("cp1254", "iso8859-9"),
    "iso8859-11": ("cp874", "iso8859-11"),
    "shift_jis": ("cp932", "shift_jis"),
    "euc_kr": ("cp949",),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "utf-16": ("utf-8",),  # a file that declares it in ASCII is not UTF-16
    "utf-16-le": ("utf-8",),
    "utf-16-be": ("utf-8",),
}
# Python knows codecs that are no encodings of documents, such as rot13 and idna.
KNOWN = re.compile(
    r"utf-8|ascii|utf-16(-le|-be)?|iso8859-\d+|cp(125\d|866|874|932|949)|koi8-[ru]|mac-(roman|cyrillic)|tis-620|"
    r"shift_jis|euc_jp|iso2022_jp|euc_kr|gb2312|gbk|gb18030|big5(hkscs)?"
)
CONTEXT = 3  # lines of a diff around a change, as in other tools


@dataclass(frozen=True)
class Mention:
    """A place where a document shows an image without alternative text.

    Attributes:
        position: where in the document's text something can be inserted.
        source: the address of the image, free of the document's own escapes.
        wording: makes of a caption what is to be inserted.
        reason: why it must be left alone; empty if it wants a caption.
    """

    position: int
    source: str
    wording: Callable[[str], str]
    reason: str = ""


@dataclass(frozen=True)
class Document:
    """A file's content: `mark` (its byte order mark, if any) and `text`, which `encoding` turns into the rest."""

    path: Path
    mark: bytes
    encoding: str
    text: str

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.mark + self.text.encode(self.encoding)

    def line(self, position: int) -> int:
        """The number of the line of a position, from 1."""
        return self.text.count("\n", 0, position) + 1

    def insert(self, insertions: list[tuple[int, str]]) -> bytes:
        """The file's bytes with texts inserted at positions; all other bytes stay as they are.

        Raises:
            DocumentError: if the encoding does not allow that.
        """
        insertions = sorted(insertions)
        starts = [0, *(position for position, _ in insertions)]
        ends = [*starts[1:], len(self.text)]
        pieces = [self.text[start:end].encode(self.encoding) for start, end in zip(starts, ends, strict=True)]
        if self.mark + b"".join(pieces) != self.content:  # an encoding with a memory, within another alphabet
            raise DocumentError(f"{self.path} cannot be changed in its encoding, {self.encoding}. Convert it to UTF-8.")
        # What the encoding cannot express becomes a character reference, which HTML and Markdown both read.
        added = [text.encode(self.encoding, "xmlcharrefreplace") for _, text in insertions]
        return self.mark + pieces[0] + b"".join(new + old for new, old in zip(added, pieces[1:], strict=True))


def read_document(path: Path) -> Document:
    """Read a file and decode it so that it can be written back byte for byte.

    Its encoding is what its byte order mark, its XML declaration or its `<meta charset>` says, else UTF-8.

    Raises:
        DocumentError: if it cannot be read or decoded.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DocumentError(f"{path} is no regular file. If it is a folder, check that it may be listed.")
        content = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}.") from error
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    body = content.removeprefix(mark)
    declared = MARKS[mark] if mark else declared_encoding(body)
    for encoding in (declared,) if mark else meant_by(declared, path):
        with contextlib.suppress(UnicodeError):
            text = body.decode(encoding)
            if "\0" in text:
                raise DocumentError(f"{path} is no text, or in UTF-16 without a byte order mark. It was left alone.")
            if text.encode(encoding) == body:
                return Document(path, mark, encoding, text)
    raise DocumentError(
        f"{path} cannot be decoded as {declared}, and was left alone. Declare its encoding or convert it to UTF-8."
    )


def declared_encoding(body: bytes) -> str:
    """The encoding that a document without a byte order mark names, or UTF-8."""
    head = body[:DECLARED_WITHIN]
    found = XML_ENCODING.match(head) or META_ENCODING.search(COMMENT.sub(b"", head))
    return found[1].decode("ascii") if found else "utf-8"


def meant_by(label: str, path: Path) -> tuple[str, ...]:
    """Python's names of what the web means by an encoding's label, to be tried in this order."""
    try:
        name = codecs.lookup(label).name
    except LookupError:
        name = ""
    if not KNOWN.fullmatch(name):
        raise DocumentError(f"{path} declares the encoding {label!r}, which is unknown. Convert it to UTF-8.")
    return MEANT.get(name, (name,))


def unified_diff(document: Document, changed: bytes, name: str) -> Iterator[bytes]:
    """The lines of a unified diff between a document and its changed bytes, which have as many lines.

    They are in the document's own encoding, so that `patch` can apply them; UTF-16, which no diff can hold, is
    shown as UTF-8.
    """
    contents = [document.content, changed]
    if document.encoding.startswith("utf-16"):
        contents = [content.decode("utf-16").encode() for content in contents]
    old, new = (content.split(b"\n") for content in contents)
    for sign, side in (("---", "a"), ("+++", "b")):
        yield os.fsencode(f"{sign} {quoted(side, name)}\n")
    differing = [number for number, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    lines = len(old) - (not old[-1])  # nothing follows the last line feed
    for first, last in hunks(differing, lines):
        span = f"{first + 1},{last - first}" if last - first > 1 else f"{first + 1}"
        yield f"@@ -{span} +{span} @@\n".encode()
        for differs, numbers in itertools.groupby(range(first, last), lambda number: old[number] != new[number]):
            together = list(numbers)
            sides = ((b"-", old), (b"+", new)) if differs else ((b" ", old),)
            yield from (diff_line(sign, side, number) for sign, side in sides for number in together)


def hunks(differing: list[int], lines: int) -> Iterator[tuple[int, int]]:
    """The first line of each hunk and the line after its last, for the lines that differ."""
    first = last = -1
    for number in differing:
        if first >= 0 and number - CONTEXT > last:
            yield first, last
            first = -1
        if first < 0:
            first = max(0, number - CONTEXT)
        last = min(lines, number + 1 + CONTEXT)
    if first >= 0:
        yield first, last


def diff_line(sign: bytes, lines: list[bytes], number: int) -> bytes:
    """A line of a diff; the last of a file may lack its line feed."""
    end = b"\n" if number < len(lines) - 1 else b"\n\\ No newline at end of file\n"
    return sign + lines[number] + end


def quoted(side: str, name: str) -> str:
    """A file's name in a diff's head, where spaces and control characters would mislead programs that read it."""
    name = f"{side}/{name.lstrip('/')}"
    if any(ord(char) < 32 or char in '"\\' for char in name):
        return '"' + re.sub(r'["\\]|[\0-\x1f]', lambda found: f"\\{ord(found[0]):03o}", name) + '"'
    return f"{name}\t" if " " in name else name


def replace_file(document: Document, content: bytes) -> None:
    """Write a document's new content atomically; its mode and, where that is allowed, its owner stay.

    Raises:
        DocumentError: if it cannot be written, or has changed since it was read; then it stays as it is.
    """
    path = document.path.resolve()  # a link shall go on being one
    try:
        if path.read_bytes() != document.content:
            raise DocumentError(f"{document.path} has changed in the meantime, and was left alone. Run it again.")
        if not os.access(path, os.W_OK):
            raise DocumentError(f"{document.path} is write-protected, and was left alone. Make it writable first.")
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DocumentError(f"{document.path} cannot be written: {error.strerror or error}.") from error
