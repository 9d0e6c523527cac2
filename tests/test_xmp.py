"""Descriptions in XMP files of other programs: what is put in, and that all else stays as it was."""

import codecs
import itertools
import re

import pytest

from captioner.batch.xml_tree import XmlError
from captioner.batch.xmp import ALT_TEXT, DESCRIPTION, EMPTY, REMEMBERED, Metadata, with_description

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
ADDED = re.compile(r"\s*<rdf:Description (?:(?!<rdf:Description ).)*captioner:Caption=.*?</rdf:Description>", re.S)

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    {DC}
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="3"
   xmp:CreatorTool="a > b &amp; c"
   crs:Version="15.4">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>holiday</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <crs:Look>
    <rdf:Description
     crs:Name="Adobe Color">
    <crs:Parameters>
     <rdf:Description dc:description="of the look"/>
    </crs:Parameters>
    </rdf:Description>
   </crs:Look>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2024:05:01 12:00:00"
   darktable:auto_presets_applied="1">
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:num="0" darktable:operation="flip" darktable:params="ffffffff"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    {DC}
   digiKam:PickLabel="0">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Ort/Göteborg</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
                                                                      \n<?xpacket end="w"?>"""
EXIFTOOL = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.76'>
<rdf:RDF {RDF.replace('"', "'")}>

 <rdf:Description rdf:about=''
  xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/'>
  <photoshop:City>Kristi'ania</photoshop:City>
 </rdf:Description>

 <rdf:Description rdf:about=''
  xmlns:tiff='http://ns.adobe.com/tiff/1.0/'>
  <tiff:Orientation>6</tiff:Orientation>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""
PROGRAMS = {"Lightroom": LIGHTROOM, "darktable": DARKTABLE, "digiKam": DIGIKAM, "exiftool": EXIFTOOL}


def holding(inside: str, attributes: str = "") -> str:
    """A file whose only property is written as given."""
    return f'<rdf:RDF {RDF}><rdf:Description rdf:about="" {DC}{attributes}>{inside}</rdf:Description></rdf:RDF>'


def in_list(*items: str, kind: str = "Alt") -> str:
    return f"<dc:description><rdf:{kind}>{''.join(items)}</rdf:{kind}></dc:description>"


NEW_LIST = in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>').replace("Alt>", f"Alt {RDF}>", 1)


def says(data: bytes) -> tuple[str, str, str]:
    metadata = Metadata(data.decode("utf-8-sig").encode())
    return tuple(map(metadata.value, (DESCRIPTION, ALT_TEXT, REMEMBERED)))


def test_a_new_file():
    data = with_description(EMPTY, "A dog & a <cat>.")
    assert says(data) == ("A dog & a <cat>.",) * 3
    assert data.count(b'<rdf:li xml:lang="x-default">A dog &amp; a &lt;cat&gt;.</rdf:li>') == 2
    assert data.startswith(b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta')


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_files_of_other_programs_keep_every_byte(program, line_break):
    before = PROGRAMS[program].replace("\n", line_break)
    changed = with_description(before.encode(), "A dog.")
    assert says(changed) == ("A dog.",) * 3
    after = changed.decode()
    assert ADDED.sub("", after, count=1) == before
    assert ("\r\n" in after) == (line_break == "\r\n")
    assert not re.search(r"(?<!\r)\n", after) or line_break == "\n"
    assert with_description(changed, "A dog.") == changed  # twice is as once
    assert with_description(changed, "A cat.").decode() == after.replace("A dog.", "A cat.")  # its own it replaces


def test_added_lines_are_indented_as_the_others():
    lines = with_description(LIGHTROOM.encode(), "A dog.").decode().splitlines()
    first = next(number for number, line in enumerate(lines) if "captioner" in line) - 3
    assert lines[first] == '  <rdf:Description rdf:about=""'
    assert lines[-3:] == ["  </rdf:Description>", " </rdf:RDF>", "</x:xmpmeta>"]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", ["", '<?xml version="1.0" encoding="{}"?>'])
def test_encodings_stay(codec, declared):
    name = "UTF-8" if codec.startswith("utf-8") else "UTF-16"
    before = declared.format(name) + DIGIKAM.replace("\ufeff", "")
    mark = codecs.BOM_UTF16_BE if codec == "utf-16-be" and declared else b""
    data = mark + before.encode(codec)
    changed = with_description(data, "A dög 🐕.")
    assert changed.startswith(data[:40])
    after = changed[len(mark) :].decode(codec)
    assert "A dög 🐕." in after
    assert ADDED.sub("", after) == before
    assert with_description(changed, "A dög 🐕.") == changed


def test_ascii_stays_ascii():
    data = f'<?xml version="1.0" encoding="US-ASCII"?>{holding("")}'.encode()
    changed = with_description(data, "A dög.")
    assert changed.isascii()
    assert says(changed) == ("A dög.",) * 3


@pytest.mark.parametrize(
    ("inside", "attributes"),
    [
        (in_list('<rdf:li xml:lang="x-default">Mine</rdf:li>'), ""),
        (in_list("<rdf:li xml:lang='X-Default'><![CDATA[Mine]]></rdf:li>"), ""),
        (in_list('<rdf:li xml:lang="de">Meins</rdf:li>', '<rdf:li xml:lang="x-default">Mine</rdf:li>'), ""),
        (in_list('<rdf:li xml:lang="x-default"><rdf:Description rdf:value="Mine"/></rdf:li>'), ""),
        (in_list("<rdf:li>Mine</rdf:li>", kind="Bag"), ""),
        ("<dc:description>Mine</dc:description>", ""),
        ("<dc:description rdf:resource='mine'/>", ""),
        ("", " dc:description='Mine'"),
    ],
)
def test_what_someone_else_wrote_stays(inside, attributes):
    assert with_description(holding(inside, attributes).encode(), "A dog.") is None


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (in_list('<rdf:li xml:lang="x-default"/>'), in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>')),
        (in_list('<rdf:li xml:lang="x-default"> </rdf:li>'), in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>')),
        (
            in_list('\n  <rdf:li xml:lang="de">Ein Hund.</rdf:li>\n'),
            in_list('\n  <rdf:li xml:lang="x-default">A dog.</rdf:li>\n  <rdf:li xml:lang="de">Ein Hund.</rdf:li>\n'),
        ),
        (in_list(), in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>')),
        ("<dc:description><rdf:Alt/></dc:description>", in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>')),
        ("<dc:description />", NEW_LIST.replace("n>", "n >", 1)),
        ("<dc:description></dc:description>", NEW_LIST),
        (in_list("<rdf:li> </rdf:li>", kind="Bag"), NEW_LIST),
    ],
)
def test_an_empty_place_is_filled(inside, expected):
    before = f"<!-- a -->{holding(inside + '<!-- b --><?c d?>')}"
    changed = with_description(before.encode(), "A dog.")
    assert says(changed) == ("A dog.",) * 3
    assert ADDED.sub("", changed.decode()) == before.replace(inside, expected)
    assert with_description(changed, "A dog.") == changed
    assert says(with_description(changed, "A cat.")) == ("A cat.",) * 3


def test_an_empty_attribute_becomes_an_element():
    changed = with_description(holding("", ' dc:title="a" dc:description=""  dc:format="b"').encode(), "A dog.")
    assert says(changed) == ("A dog.",) * 3
    assert b'dc:title="a"  dc:format="b"' in changed


def test_an_alternative_text_of_someone_else_stays():
    iptc = 'xmlns:i="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"'
    alt = (
        '<i:AltTextAccessibility><rdf:Alt><rdf:li xml:lang="x-default">Mine</rdf:li></rdf:Alt></i:AltTextAccessibility>'
    )
    changed = with_description(holding(alt, f" {iptc}").encode(), "A dog.")
    assert says(changed) == ("A dog.", "Mine", "A dog.")


def test_namespaces_under_other_prefixes():
    default = LIGHTROOM.replace("xmlns:rdf", "xmlns").replace("<rdf:", "<").replace("</rdf:", "</")
    default = default.replace(" rdf:about", " about")
    for before in (
        LIGHTROOM.replace("rdf:", "r:").replace(":rdf", ":r").replace("dc:", "d:").replace(":dc", ":d"),
        default,
    ):
        changed = with_description(before.encode(), "A dog.")
        assert says(changed) == ("A dog.",) * 3
        assert says(with_description(changed, "A cat.")) == ("A cat.",) * 3
    other = holding("<dc:description/>").replace("rdf:", "r:").replace(":rdf", ":r")
    other = other.replace("dc:", "rdf:").replace(":dc", ":rdf")
    assert says(with_description(other.encode(), "A dog.")) == ("A dog.",) * 3


def test_it_speaks_of_the_same_photograph():
    about = 'uuid:faf5bdd5-"ba3d"'
    before = LIGHTROOM.replace('rdf:about=""', f"rdf:about='{about}'")
    assert Metadata(with_description(before.encode(), "A dog.")).about() == about
    assert with_description(before.encode(), "A dog.").count(b"faf5bdd5") == 2


def test_rewritten_by_another_program_it_is_still_known():
    """As exiv2 and exiftool write what they have read: attributes become elements, all in one, and back."""
    own = 'xmlns:c="urn:captioner:xmp/1.0/"'
    described = in_list('<rdf:li xml:lang="x-default">A dog.</rdf:li>')
    before = holding(f"{described}<c:Caption>A dog.</c:Caption>", f" {own}")
    changed = with_description(before.encode(), "A cat.")
    assert changed.decode().count("A cat.") == 3
    assert b"A dog." not in changed
    assert says(changed) == ("A cat.",) * 3
    assert with_description(before.replace(">A dog.</rdf", ">My dog.</rdf").encode(), "A cat.") is None
    empty = holding("", f" {own} c:Caption='A dog.'")  # its description was taken out
    assert says(with_description(empty.encode(), 'A "cat".')) == ('A "cat".',) * 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no well-formed XML"),
        (b"caption", "no well-formed XML"),
        (LIGHTROOM.encode()[:-30], "no well-formed XML"),
        (LIGHTROOM.encode() + b"\0", "no well-formed XML"),
        (b"<html/>", "it has no rdf:RDF"),
        (f"<a><rdf:RDF {RDF}/><rdf:RDF {RDF}/></a>".encode(), "more than one rdf:RDF"),
        (holding("<dc:description/><dc:description/>").encode(), "description more than once"),
        (holding("").encode("utf-32"), "utf-8|well-formed"),
        (f'<?xml version="1.0" encoding="windows-1252"?>{holding("")}'.encode(), "its encoding is windows-1252"),
        (holding("<dc:title>\xfc</dc:title>").encode("latin-1"), "no valid text"),
        (b"\xff\xfe<\0\xff", "no valid text"),
        ('<!DOCTYPE r [<!ENTITY a "b">]>' + holding("&a;"), "document type"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd">' + holding(""), "document type"),
        ("<a>" * 5000 + "</a>" * 5000, "deep"),
    ],
)
def test_what_is_no_xmp_is_told(data, reason):
    with pytest.raises(XmlError, match=reason):
        with_description(data.encode() if isinstance(data, str) else data, "A dog.")


def test_cut_or_spoiled_anywhere_it_ends_well():
    whole = with_description(EXIFTOOL.encode(), "A dog.")
    for place, what in itertools.product(range(0, len(whole), 7), (b"", b"<", b"&", b'"', b"\0")):
        for data in (whole[:place] + what, whole[:place] + what + whole[place + 1 :]):
            try:
                changed = with_description(data, "A cat.")
            except XmlError:
                continue
            assert changed is None or says(changed)[0] == "A cat."


def test_captions_that_xml_cannot_hold():
    assert says(with_description(EMPTY, "A\x00 dog\ud800\n\n ]]> 'n' \"cat\".")) == ("A� dog� ]]> 'n' \"cat\".",) * 3
