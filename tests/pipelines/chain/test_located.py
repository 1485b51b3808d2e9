import pytest

from nilatron.pipelines.chain.located import Problem, parse_located
from nilatron.pipelines.chain.xml import ChainError


@pytest.mark.parametrize("kind", [str, str.encode])
def test_elements_know_their_lines_and_lose_their_namespaces(kind):
    root = parse_located(kind('<?xml version="1.0"?>\n<a xmlns="urn:x">\n\n<b\nc="1"/><d>t</d></a>'), "mine")
    assert [(element.tag, element.line) for element in root.iter()] == [("a", 2), ("b", 4), ("d", 5)]
    assert (root.find("b").get("c"), root.findtext("d")) == ("1", "t")


@pytest.mark.parametrize("xml", ["", "<a>", '<!DOCTYPE a [<!ENTITY e "2">]><a>&e;</a>', "<!DOCTYPE a><a/>"])
def test_what_is_not_xml_is_an_error(xml):
    with pytest.raises(ChainError, match="chain 'mine' is not XML"):
        parse_located(xml, "mine")


def test_problems_are_in_the_order_of_their_lines():
    assert [str(problem) for problem in sorted([Problem(10, "a"), Problem(2, "b")])] == ["line 2: b", "line 10: a"]
