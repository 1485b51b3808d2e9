import pytest

from nilatron.pipelines.files.xml_bounds import MAX_DEPTH, MAX_ELEMENTS, TooMuchXmlError, check_xml


def wide(n):
    return "<a>" + "<b/>" * (n - 1) + "</a>"


def deep(n):
    return "<a>" * n + "</a>" * n


@pytest.mark.parametrize(
    "xml",
    [
        wide(MAX_ELEMENTS),
        deep(MAX_DEPTH),
        b"",
        "<a>",
        "no XML",
        "<a>\0</a>",
        b"\xff\xfe<\0a\0/\0>\0",
        '<!DOCTYPE a [<!ENTITY b "c">]>' + wide(MAX_ELEMENTS + 1),
        '<?xml version="1.0" encoding="klingon"?><a/>',
    ],
)
def test_what_is_small_or_no_xml_is_left_to_the_parser(xml):
    check_xml(xml, "it")


@pytest.mark.parametrize("kind", [str, str.encode])
@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (wide(MAX_ELEMENTS + 1), "it has more than 60000 elements"),
        (deep(MAX_DEPTH + 1), "nested more than 100 deep"),
        (wide(MAX_ELEMENTS + 1)[:-4], "more than 60000"),
    ],
)
def test_too_much_is_found_before_anything_is_built(kind, xml, text):
    with pytest.raises(TooMuchXmlError, match=text):
        check_xml(kind(xml), "it")
