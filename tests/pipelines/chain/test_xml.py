import pytest

from nilatron.pipelines.chain.xml import ChainError, External, StockGadget, parse_chain, parse_configuration


def chain_of(stream, version="<version>2</version>"):
    return f"<configuration>{version}<stream>{stream}</stream></configuration>"


def gadget(classname="ImageFinishGadget", inner=""):
    return f"<gadget><dll>d</dll><classname>{classname}</classname>{inner}</gadget>"


def test_every_part_of_the_grammar():
    chain = parse_chain(
        """<?xml version="1.0"?><configuration><version>2</version>
        <readers><reader><slot>1008</slot><dll>d</dll><classname>AcquisitionReader</classname></reader></readers>
        <writers><writer><dll>e</dll><classname>ImageWriter</classname></writer></writers>
        <stream key="main">
          <gadget><name>scale</name><dll>d</dll><classname>AutoScaleGadget</classname>
            <property name="max_value" value="100"/>
            <property><name>histogram_bins</name><value>7</value></property></gadget>
          <external><execute name="a.b" target="t" type="matlab"/>
            <configuration mode="x"><property name="steps" value="6"/><other/></configuration>
            <readers><reader><dll>d</dll><classname>R</classname></reader></readers></external>
          <external><connect port="18000"/></external>
        </stream></configuration>""",
        "all",
    )
    assert chain.name == "all"
    assert [(port.classname, port.dll, port.slot) for port in (*chain.readers, *chain.writers)] == [
        ("AcquisitionReader", "d", 1008),
        ("ImageWriter", "e", None),
    ]
    scale, execute, connect = chain.stream
    assert scale == StockGadget("AutoScaleGadget", "d", "scale", {"max_value": "100", "histogram_bins": "7"})
    assert isinstance(execute, External)
    assert (execute.kind, execute.module, execute.target, execute.language) == ("execute", "a.b", "t", "matlab")
    assert execute.properties == {"steps": "6"}
    assert execute.configuration_xml.startswith('<configuration mode="x">')
    assert "<other" in execute.configuration_xml
    assert execute.readers[0].classname == "R"
    assert (connect.kind, connect.address, connect.port) == ("connect", "localhost", 18000)
    assert connect.configuration_xml == "<configuration/>"


def test_references_to_properties_of_other_gadgets_are_resolved():
    first = gadget("A", '<property name="x" value="5"/>')
    second = gadget("B", '<property name="y" value="x@A"/>')
    third = gadget("C", '<name>c</name><property name="z" value="y@B"/>')
    assert [node.properties for node in parse_chain(chain_of(third + first + second)).stream] == [
        {"z": "5"},
        {"x": "5"},
        {"y": "5"},
    ]


@pytest.mark.parametrize(
    ("value", "message"), [("x@D", "gadget 'D'.*A, B"), ("w@A", "'w', which A does not set"), ("y@B", "back to itself")]
)
def test_references_that_lead_nowhere(value, message):
    stream = gadget("A", '<property name="x" value="5"/>') + gadget("B", f'<property name="y" value="{value}"/>')
    with pytest.raises(ChainError, match=message):
        parse_chain(chain_of(stream))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("not xml", "is not XML"),
        (b"\x00\xff", "is not XML"),
        ("<configuration>", "is not XML"),
        ("<stream/>", "root element <stream>; expected <configuration>"),
        ('<g:gadgetronStreamConfiguration xmlns:g="http://x"/>', "legacy form.*<version>2</version>"),
        (chain_of(gadget(), ""), "expected <version>2</version>"),
        (chain_of(gadget(), "<version>1</version>"), "got '1'"),
        ("<configuration><version>2</version></configuration>", "no <stream>"),
        (chain_of(""), "<stream> is empty"),
        (chain_of("<gadgets/>"), "unknown element <gadgets> inside <stream>; allowed: <gadget>, <external>"),
        (chain_of("<parallel/>"), "<parallel> is not supported by the embedded host"),
        (chain_of("<distributed/>"), "<distributed> is not supported by the embedded host"),
        (chain_of("<parallelprocess/>"), "<parallelprocess> is not supported by the embedded host"),
        (chain_of(gadget(inner="<slot/>")), "unknown element <slot> inside <gadget>"),
        (chain_of("<gadget><dll>d</dll></gadget>"), "<gadget> has no <classname>"),
        (chain_of("<gadget><classname>A</classname></gadget>"), "<gadget> has no <dll>"),
        (chain_of(gadget(inner='<property name="a"/>')), "no name or no value"),
        (chain_of(gadget(inner='<property value="a"/>')), "no name or no value"),
        (chain_of(gadget(inner='<property name="a" value="1"/>' * 2)), "'a' of ImageFinishGadget is set twice"),
        (chain_of("<external/>"), "has 0 of <execute> and <connect>"),
        (chain_of('<external><execute name="a" target="b"/><connect port="1"/></external>'), "has 2 of"),
        (chain_of('<external><execute target="b"/></external>'), "<execute> has no name"),
        (chain_of('<external><execute name="a"/></external>'), "has no target"),
        (chain_of('<external><connect port="99999"/></external>'), "port '99999'"),
        (chain_of('<external><connect port="1"/><property/></external>'), "unknown element <property>"),
        (chain_of(gadget()).replace("<stream>", "<readers><writer/></readers><stream>"), "<writer> inside <readers>"),
    ],
)
def test_faults_are_named(xml, message):
    with pytest.raises(ChainError, match=message):
        parse_chain(xml, "mine")


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE c [<!ENTITY e "2">]>',
        '<!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE c SYSTEM "c">',
    ],
)
def test_entities_and_document_types_are_refused(doctype):
    with pytest.raises(ChainError, match="not allowed"):
        parse_chain(doctype + chain_of(gadget(), "<version>&e;</version>"))


def test_a_nodes_own_configuration():
    long, short = "<property><name>a</name><value>b</value></property>", '<property name="steps" value="4"/>'
    xml = f"<configuration>{short}{long}</configuration>".encode()
    assert parse_configuration(xml, "nila") == {"steps": "4", "a": "b"}
    assert parse_configuration("<configuration/>", "nila") == {}
    for broken in ("", "<other/>", '<configuration><property name="a"/></configuration>'):
        with pytest.raises(ChainError, match="nila"):
            parse_configuration(broken, "nila")
