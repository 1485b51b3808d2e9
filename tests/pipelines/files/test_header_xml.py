import logging
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

import pytest
from defusedxml.common import DefusedXmlException

from nilatron.pipelines.files.header_xml import child_of, fill, local_name, root_of, text_of, whole_number

TEXT = '<?xml version="1.0" encoding="{}"?>\n<a xmlns="urn:x"><b><c> Zoë </c></b><b><c>Jürgen</c></b></a>'
DOCUMENTS = {
    "UTF-8": TEXT.format("UTF-8").encode(),
    "UTF-8 with a byte order mark": TEXT.format("UTF-8").encode("utf-8-sig"),
    "UTF-8 that says UTF-16": TEXT.format("UTF-16").encode(),
    "UTF-8 with a mark that says UTF-16": TEXT.format("UTF-16").encode("utf-8-sig"),
    "UTF-16": TEXT.format("UTF-16").encode("utf-16"),
    "UTF-16, big-endian, with a mark": TEXT.format("UTF-16").encode("utf-16-be").join([b"\xfe\xff", b""]),
    "UTF-16 without a mark": TEXT.format("UTF-16").encode("utf-16-le"),
    "UTF-16 that says UTF-8, NUL at the end": (TEXT.format("UTF-8") + "\0").encode("utf-16-le"),
    "UTF-16, odd number of bytes": TEXT.format("UTF-16").encode("utf-16") + b"\0",
    "Latin-1": TEXT.format("ISO-8859-1").encode("latin-1"),
    "Latin-1 that says UTF-8": TEXT.format("UTF-8").encode("latin-1"),
    "Latin-1 that says ASCII": TEXT.format("ascii").encode("latin-1"),
    "GBK": TEXT.format("GB18030").encode("gb18030"),
    "a character set that does not exist": TEXT.format("UTF-4").encode(),
    "rubbish after a NUL": TEXT.format("UTF-8").encode() + b"\0\0\xff<rubbish",
    "white space around": b" \r\n" + TEXT.format("UTF-8").encode().replace(b"?>\n", b"?>\n\n") + b"\r\n\t ",
    "no declaration": TEXT.format("").partition("\n")[2].encode(),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents_in_any_character_set(kind):
    root = root_of(DOCUMENTS[kind])
    assert local_name(root) == "a"
    assert text_of(child_of(root, "b", "c")) == "Jürgen"


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"<a>", b"<a/><b/>", b"TR = 500 ms"])
def test_what_is_no_document(data):
    with pytest.raises(ParseError):
        root_of(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(encoding):
    document = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    with pytest.raises(DefusedXmlException):
        root_of(document.encode(encoding))


def test_a_path_that_ends_early_is_none():
    root = root_of(b"<a><b/></a>")
    assert child_of(root, "b", "c", "d") is None
    assert text_of(None) == text_of(child_of(root, "b")) == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("+7", 7), ("-7", -7), ("7.04", 7), ("6.96", 7), ("1e3", 1000), ("252.4", 252), ("0.04", 0)],
)
def test_numbers_that_mean_whole_ones(text, number):
    assert whole_number(text) == number


def test_large_numbers_keep_every_digit():
    assert whole_number("9007199254740993") == 9007199254740993


@pytest.mark.parametrize("text", ["7.08", "6.9", "0.06", "", "seven", "nan", "inf", "0x7"])
def test_numbers_that_do_not(text):
    with pytest.raises((ValueError, OverflowError)):
        whole_number(text)


@dataclass
class Part:
    number: int | None
    name: str | None
    parts: list[float]


def test_elements_become_dataclasses_and_the_rest_is_told(caplog):
    xml = b"<p><number>many</number><name>x</name><parts>1</parts><parts>2e0</parts><colour>red</colour></p>"
    with caplog.at_level(logging.INFO):
        assert fill(Part, root_of(xml)) == Part(None, "x", [1.0, 2.0])
    assert "<number> cannot be 'many'" in caplog.text
    assert "unknown in <p>: colour" in caplog.text
