"""Descriptions in XMP files, which photo tools keep beside photographs: one is put in, all else stays, byte for byte.

The description is `dc:description`, which the tools show and search, and, for those who use screen readers,
`Iptc4xmpCore:AltTextAccessibility`, both in the default language. `captioner:Caption` remembers what was put in: a
description that differs from it is someone else's.
"""

import codecs
import re

from .xml_tree import UNWRITABLE, XML, Attribute, Edit, Element, Name, XmlError, apply, escape, parse

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
OWN = "urn:captioner:xmp/1.0/"
PREFIXES = {DUBLIN_CORE: "dc", IPTC: "Iptc4xmpCore", OWN: "captioner"}

DESCRIPTION, ALT_TEXT = Name(DUBLIN_CORE, "description"), Name(IPTC, "AltTextAccessibility")
REMEMBERED = Name(OWN, "Caption")

EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Captioner">
 <rdf:RDF xmlns:rdf="{RDF}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()

DECLARED = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([^"']+)""")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
STARTS = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}


def with_description(data: bytes, text: str) -> bytes | None:
    """An XMP file with a description; None if it has one that someone else wrote, so that it is to stay as it is.

    Raises:
        XmlError: if it is no XMP, is broken, or is written in a way that is not understood.
    """
    mark, codec = encoding(data)
    try:
        source = data.removeprefix(mark).decode(codec).encode()
    except UnicodeError as error:
        raise XmlError(f"it is no valid text ({codec})") from error
    text = readable(text)
    edits = find_edits(source, Metadata(source), text)
    if edits is None:
        return None
    if not edits:
        return data
    changed = apply(source, edits)
    check(changed, text)
    return mark + changed.decode().encode(codec, "xmlcharrefreplace")


def encoding(data: bytes) -> tuple[bytes, str]:
    """The byte order mark that a file begins with, if any, and its encoding.

    Raises:
        XmlError: if it is none that XMP has.
    """
    for mark, codec in MARKS.items():
        if data.startswith(mark) and not data.startswith(codecs.BOM_UTF32_LE):
            return mark, codec
    declared = DECLARED.match(data)
    codec = STARTS.get(data[:2]) or (declared[1].decode("ascii", "replace").lower() if declared else "utf-8")
    if codec == "us-ascii":
        return b"", "ascii"
    if codec not in ("utf-8", *STARTS.values()):
        raise XmlError(f"its encoding is {codec}, and XMP is UTF-8 or UTF-16")
    return b"", codec


class Metadata:
    """What an XMP file says of its photograph.

    Raises:
        XmlError: if it is no XMP.
    """

    def __init__(self, source: bytes):
        root = parse(source)
        found = [element for element in (root, *root.children) if element.name == Name(RDF, "RDF")]
        if len(found) != 1:
            raise XmlError(f"it is no XMP (it has {'more than one' if found else 'no'} rdf:RDF)")
        (self.rdf,) = found
        self.descriptions = [child for child in self.rdf.children if child.name == Name(RDF, "Description")]

    def held(self, name: Name) -> Element | Attribute | None:
        """A property of the photograph, not of something that the metadata tells of.

        Raises:
            XmlError: if it is there twice.
        """
        found = [owner.attributes[name] for owner in self.descriptions if name in owner.attributes]
        found += [child for owner in self.descriptions for child in owner.children if child.name == name]
        if len(found) > 1:
            raise XmlError(f"it has {name.local} more than once")
        return found[0] if found else None

    def value(self, name: Name) -> str:
        """What a property says in the default language, or in no language in particular."""
        held = self.held(name)
        if not held:
            return ""
        if isinstance(held, Attribute):
            return readable(held.value)
        alternatives = languages(held)
        default = held if alternatives is None else default_item(alternatives)
        return readable(default.wording()) if default else ""

    def about(self) -> str:
        """What the metadata calls its photograph: all parts of it must call it the same."""
        for owner in self.descriptions:
            for name in (Name(RDF, "about"), Name("", "about")):
                if name in owner.attributes:
                    return owner.attributes[name].value
        return ""


def languages(element: Element) -> Element | None:
    """The rdf:Alt that holds a property's texts, if it is written as the standard says."""
    children = element.children
    return children[0] if len(children) == 1 and children[0].name == Name(RDF, "Alt") else None


def default_item(alternatives: Element) -> Element | None:
    """The text in the default language."""
    for item in alternatives.children:
        language = item.attributes.get(Name(XML, "lang"))
        if language and language.value.lower() == "x-default":
            return item
    return None


def find_edits(source: bytes, metadata: Metadata, text: str) -> list[Edit] | None:
    """What to change so that the file has the description; None if it has one that someone else wrote."""
    remembered, edits, missing = metadata.value(REMEMBERED), [], []
    described = metadata.value(DESCRIPTION)
    if described and described not in (text, remembered):
        return None
    for name in (DESCRIPTION, ALT_TEXT):
        present = metadata.value(name)
        if present == text or (present and present != remembered):
            continue
        held = metadata.held(name)
        if not held or isinstance(held, Attribute):  # an attribute could not say which language it is in
            missing.append(name)
        if held:
            edits.append(rewrite(source, held, text))
    held = metadata.held(REMEMBERED)
    if held and remembered != text:
        edits.append(remember(source, held, text))
    if missing or (edits and not held):
        edits.append(insertion(source, metadata, missing, text, remembering=not held))
    return edits


def rewrite(source: bytes, held: Element | Attribute, text: str) -> Edit:
    """Put a text in the place of what a property says in the default language."""
    if isinstance(held, Attribute):
        return Edit(held.start, held.end, b"")
    alternatives = languages(held)
    if alternatives is None:
        return held.fill(f'<rdf:Alt xmlns:rdf="{RDF}">{item("rdf:", text)}</rdf:Alt>'.encode())
    default = default_item(alternatives)
    if default:
        return default.fill(escape(text).encode())
    added = item(alternatives.prefix, text).encode()
    if not alternatives.children:
        return alternatives.fill(added)
    first = alternatives.children[0].start  # the default language comes before others
    gap = source[alternatives.inner_start : first]
    return Edit(first, first, added + (gap if gap.isspace() else b""))


def remember(source: bytes, held: Element | Attribute, text: str) -> Edit:
    """Note anew what was put in."""
    if isinstance(held, Element):
        return held.fill(escape(text).encode())
    name, _, _ = source[held.start : held.end].partition(b"=")
    return Edit(held.start, held.end, name + f'="{escape(text)}"'.encode())


def item(prefix: str, text: str) -> str:
    """A text in the default language."""
    return f'<{prefix}li xml:lang="x-default">{escape(text)}</{prefix}li>'


def insertion(source: bytes, metadata: Metadata, names: list[Name], text: str, remembering: bool) -> Edit:
    """Put properties that the file lacks into an element of their own, behind all others.

    Args:
        source: the file.
        metadata: what it says.
        names: the properties.
        text: what they are to say.
        remembering: whether it is also to be noted what was put in.
    """
    rdf = metadata.rdf
    last = rdf.children[-1] if rdf.children else None
    before = source[source.rfind(b"\n", 0, last.start) + 1 : last.start] if last else b"  "
    indent = before.decode() if before.isspace() else ""
    line_break = "\r\n" if b"\r\n" in source else "\n"
    lines = block(rdf.prefix, metadata.about(), names, text, remembering)
    written = line_break + line_break.join(indent + line for line in lines)
    if last:
        return Edit(last.end, last.end, written.encode())
    return rdf.fill(f"{written}{line_break}{indent[1:]}".encode())


def block(rdf_prefix: str, about: str, names: list[Name], text: str, remembering: bool) -> list[str]:
    """The lines of an element with properties; see `insertion`."""
    spaces = dict.fromkeys([name.space for name in names] + [OWN] * remembering)
    head = [f'xmlns:{PREFIXES[space]}="{space}"' for space in spaces]
    head += [] if rdf_prefix else [f'xmlns:rdf="{RDF}"']  # attributes have no namespace by default
    head += [f'captioner:{REMEMBERED.local}="{escape(text)}"'] if remembering else []
    head[-1] += ">"
    prefix = rdf_prefix or "rdf:"
    lines = [f'<{prefix}Description {prefix}about="{escape(about)}"', *(f"  {each}" for each in head)]
    for name in names:
        tag = f"{PREFIXES[name.space]}:{name.local}"
        lines += [f" <{tag}>", f"  <{prefix}Alt>", f"   {item(prefix, text)}", f"  </{prefix}Alt>", f" </{tag}>"]
    return [*lines, f"</{prefix}Description>"]


def readable(text: str) -> str:
    """A text on one line, without what XML cannot hold."""
    return " ".join(UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text).split())


def check(changed: bytes, text: str) -> None:
    """See that a changed file says what it is to say.

    Raises:
        XmlError: if not: what was there is not understood.
    """
    metadata = Metadata(changed)
    if any(metadata.value(name) != text for name in (DESCRIPTION, REMEMBERED)):
        raise XmlError("its description is written in a way that is not understood")
