from pathlib import Path

import pytest

from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.chain.grammar import STOCK_CLASSES, check_grammar
from nilatron.pipelines.chain.xml import ChainError

RECORDED = Path(__file__).resolve().parents[4] / "shared" / "wire"
CONFIGURATION = "<configuration/>"
SHORT = '<property name="a" value="b"/>'
EXECUTE = f'<external><execute name="a.b" target="c" type="python"/>{CONFIGURATION}</external>'


def chain_of(stream, version="2", ports=""):
    return f"<configuration><version>{version}</version>{ports}<stream>{stream}</stream></configuration>"


def part(kind, classname, dll="gadgetron_mricore", inner=""):
    return f"<{kind}><dll>{dll}</dll><classname>{classname}</classname>{inner}</{kind}>"


def fanout(*streams, branch="AcquisitionFanout"):
    library = "gadgetron_core_parallel"
    inner = part("branch", branch, library) + part("merge", "UnorderedMerge", library)
    return f"<parallel>{inner}{''.join(streams)}</parallel>"


@pytest.mark.parametrize(
    "stream",
    [
        EXECUTE,
        f'<external><connect port="18000"/>{CONFIGURATION}</external>',
        f'<external><connect address="host" port="1"/><configuration mode="x"><anything><b/></anything></configuration>'
        f"<readers>{part('reader', 'ImageReader', 'gadgetron_core_readers')}</readers></external>",
        part("gadget", "NoiseAdjustGadget", inner='<name>n</name><property name="a" value="b"/>'),
        part("gadget", "ExtractGadget", inner="<property><name>a</name><value>b</value></property>"),
        part("gadget", "AnyGadget", "a_site_s_own_library"),
        fanout('<stream key="a"/>', f'<stream key="b">{EXECUTE}</stream>'),
        f'<parallelprocess workers="4"><purestream>{part("gadget", "ScaleGadget")}</purestream></parallelprocess>',
        f"<puredistributed><readers/><writers/><purestream>{part('gadget', 'ScaleGadget')}</purestream></puredistributed>",
        '<external><connect port="1"/></external>',
        '<external><execute name="a" type="matlab"/></external>',
        "",
    ],
)
def test_what_gadgetron_takes(stream):
    check_grammar(chain_of(stream))


@pytest.mark.parametrize(
    "ports",
    [
        f"<writers>{part('writer', 'MRIImageWriter', inner='<slot>1022</slot>')}</writers>",
        f"<writers>{part('writer', 'DicomImageWriter', 'gadgetron_dicom')}</writers>",
    ],
)
def test_ports_that_gadgetron_takes(ports):
    check_grammar(chain_of("", ports=ports))


def test_the_legacy_form_is_taken():
    property_ = "<property><name>a</name><value>b</value></property>"
    check_grammar(
        '<gadgetronStreamConfiguration xmlns="http://gadgetron.sf.net/gadgetron" xmlns:x="http://www.w3.org/2001/XMLSchema'
        '-instance" x:schemaLocation="http://gadgetron.sf.net/gadgetron gadgetron.xsd">'
        f"{part('reader', 'GadgetIsmrmrdAcquisitionMessageReader', inner='<slot>1008</slot>')}"
        f"{part('writer', 'MRIImageWriter', inner='<slot>1022</slot>')}"
        f"{part('gadget', 'NoiseAdjustGadget', inner=f'<name>NoiseAdjust</name>{property_}')}"
        "</gadgetronStreamConfiguration>"
    )


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("no xml", "is not XML"),
        ('<!DOCTYPE c [<!ENTITY e "2">]><configuration/>', "without document types and entities"),
        ("<gadgets/>", "root element <gadgets>; expected <configuration>"),
        (
            f"<gadgetronStreamConfiguration><stream/>{part('gadget', 'ScaleGadget', inner=SHORT)}"
            "</gadgetronStreamConfiguration>",
            "unknown element <stream>; allowed: reader, writer, gadget; line 1: /gadgetronStreamConfiguration/gadget/property: "
            "expected elements <name> and <value>",
        ),
        ("<configuration><version>2</version></configuration>", "expected one <stream>, got 0"),
        (chain_of("", version="1"), "expected <version>2</version>, got '1'"),
        (
            chain_of("<gadgets/>"),
            "/configuration/stream: unknown element <gadgets>; allowed: gadget, external, parallel",
        ),
        (chain_of(part("gadget", "NoiseAdjust")), "gadgetron_mricore has no gadget 'NoiseAdjust'"),
        (chain_of(part("gadget", "AcquisitionFanout", "gadgetron_core_parallel")), "has no gadget 'AcquisitionFanout'"),
        (chain_of(part("gadget", "")), "<dll> or <classname> is empty"),
        (chain_of("<gadget><classname>A</classname></gadget>"), "expected one <dll>, got 0"),
        (chain_of(part("gadget", "ScaleGadget", inner='<property name="a"/>')), "expected attributes name and value"),
        (
            chain_of(part("gadget", "ScaleGadget", inner='<property name="a" value="b"><name/><value/></property>')),
            "not both",
        ),
        (chain_of(part("gadget", "ScaleGadget", inner="<slot>1</slot>")), "unknown element <slot>"),
        (chain_of(f"<external>{CONFIGURATION}</external>"), "one of <execute> and <connect>, got 0"),
        (chain_of(EXECUTE.replace('type="python"', 'type="perl"')), "type 'perl'; expected one of python"),
        (chain_of(EXECUTE.replace(' target="c"', "")), "attribute 'target' is missing"),
        (chain_of(EXECUTE.replace("target", "function")), "unknown attribute 'function'"),
        (chain_of(f'<external><connect port="none"/>{CONFIGURATION}</external>'), "port 'none'"),
        (chain_of(f'<external><connect host="a" port="1"/>{CONFIGURATION}</external>'), "unknown attribute 'host'"),
        (chain_of(fanout("<stream/>", '<stream key="b"/>')), "a key of its own"),
        (chain_of(fanout('<stream key="a"/>', branch="Fanout")), "gadgetron_core_parallel has no branch 'Fanout'"),
        (
            chain_of(f"<distributed>{part('distributor', 'D', 'd')}<stream>{EXECUTE}</stream></distributed>"),
            "loses target and address",
        ),
        (
            chain_of("", ports=f"<readers>{part('reader', 'DicomReader', 'gadgetron_core_readers')}</readers>"),
            "gadgetron_core_readers has no reader 'DicomReader'",
        ),
        (chain_of("", ports="<readers><writer/></readers>"), "unknown element <writer>; allowed: reader"),
    ],
)
def test_what_it_does_not_take_is_named(xml, message):
    with pytest.raises(ChainError) as caught:
        check_grammar(xml, "mine")
    assert message in str(caught.value)
    assert "'mine'" in str(caught.value)


def test_all_faults_are_listed_at_once():
    with pytest.raises(ChainError, match=r"line 2: .*'A'.*line 3: .*'B'"):
        check_grammar(chain_of("\n" + part("gadget", "A") + "\n" + part("gadget", "B")))


def test_our_equivalents_carry_names_of_stock_gadgets():
    assert set(STOCK_GADGETS) <= STOCK_CLASSES["gadgetron_mricore"]["gadget"] | STOCK_CLASSES["gadgetron_epi"]["gadget"]


@pytest.mark.shared
def test_chains_that_a_real_server_ran():
    paths = sorted(RECORDED.glob("*.xml"))
    if not paths:
        pytest.skip("shared/wire is not beside the checkout")
    for path in paths:
        check_grammar(path.read_bytes(), path.stem)
