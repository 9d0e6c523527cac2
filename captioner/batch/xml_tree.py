"""XML as a tree that knows where in the file each thing stands, so that a little can be changed and nothing else."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.parsers import expat

from ..errors import CaptionerError

XML = "http://www.w3.org/XML/1998/namespace"
# One attribute in the start tag of an element; the file is known to be well formed where these are used.
ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
START_TAG = re.compile(rb"""<([^\s/>]+)(?:[^"'>]|"[^"]*"|'[^']*')*>""")
# What XML has no way to write.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
DEEPEST = 200


class XmlError(CaptionerError):
    """XML that cannot be read, or not changed safely; the message says why, to stand after a name and a colon."""


class Name(NamedTuple):
    """A name with the address of its namespace."""

    space: str
    local: str


class Edit(NamedTuple):
    """What is to stand from one byte to before another."""

    start: int
    end: int
    content: bytes


class Attribute(NamedTuple):
    """An attribute: its value, and where it stands with the space before it."""

    value: str
    start: int
    end: int


@dataclass
class Element:
    """An element; `start` to `end` is all of it, `inner_start` to `inner_end` what is between its tags."""

    name: Name
    tag: str
    attributes: dict[Name, Attribute]
    start: int
    inner_start: int
    inner_end: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    @property
    def prefix(self) -> str:
        """What stands before local names of its namespace here, with the colon."""
        return self.tag[: len(self.tag) - len(self.name.local)]

    def wording(self) -> str:
        """All that may be meant to be read in it: its text, and what its attributes and all elements in it say."""
        said = [found.value for name, found in self.attributes.items() if name.space != XML]
        return self.text + "".join([*said, *(child.wording() for child in self.children)])

    def fill(self, content: bytes) -> Edit:
        """Put something between its tags, in the place of what is there."""
        if self.inner_start < self.end:
            return Edit(self.inner_start, self.inner_end, content)
        return Edit(self.end - 2, self.end, b">" + content + f"</{self.tag}>".encode())  # it was <tag/>


def parse(source: bytes) -> Element:
    """The root of a document in UTF-8.

    Raises:
        XmlError: if it is not well formed, or has a document type, whose entities can stand for anything.
    """
    root, open_elements = Element(Name("", ""), "", {}, 0, 0), []
    open_elements.append(root)
    parser = expat.ParserCreate("utf-8", namespace_separator="\n")
    parser.ordered_attributes = parser.buffer_text = True

    def start(name: str, attributes: list[str]) -> None:
        if len(open_elements) > DEEPEST:
            raise XmlError(f"its elements lie more than {DEEPEST} deep in each other")
        element = element_at(source, parser.CurrentByteIndex, split(name), attributes)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        element = open_elements.pop()
        if source[element.inner_start - 2 : element.inner_start] == b"/>":
            element.inner_end = element.end = element.inner_start
        else:
            element.inner_end = parser.CurrentByteIndex
            element.end = source.index(b">", element.inner_end) + 1

    def text(data: str) -> None:
        open_elements[-1].text += data

    def refuse(*_: Any) -> None:
        raise XmlError("it has a document type (<!DOCTYPE …>), which no metadata needs")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        parser.Parse(source, True)
    except expat.ExpatError as error:
        raise XmlError(f"it is no well-formed XML ({expat.ErrorString(error.code)}, line {error.lineno})") from error
    return root.children[0]


def element_at(source: bytes, start: int, name: Name, attributes: list[str]) -> Element:
    """The element whose start tag is at a byte; `attributes` are names and values in order, without namespaces'."""
    tag = START_TAG.match(source, start)
    written = ATTRIBUTE.finditer(source, tag.end(1), tag.end())
    places = [found for found in written if found[1] != b"xmlns" and not found[1].startswith(b"xmlns:")]
    values = {
        split(full): Attribute(value, *place.span())
        for full, value, place in zip(attributes[::2], attributes[1::2], places, strict=True)
    }
    return Element(name, tag[1].decode(), values, start, tag.end())


def split(name: str) -> Name:
    """A name as the parser gives it."""
    space, _, local = name.rpartition("\n")
    return Name(space, local)


def apply(source: bytes, edits: list[Edit]) -> bytes:
    """A document with changes, no two of which touch."""
    for edit in sorted(edits, reverse=True):
        source = source[: edit.start] + edit.content + source[edit.end :]
    return source


def escape(text: str) -> str:
    """A text as it may stand in an element or in an attribute with double quotes."""
    for character, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, written)
    return text
