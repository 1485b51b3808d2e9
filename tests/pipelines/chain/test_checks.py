"""Chains as a site writes them, with what goes wrong without a word under Gadgetron."""

import pytest

from nilatron.pipelines.chain.checks import chain_problems
from nilatron.pipelines.chain.find import find_chain, list_chains

READERS = "<reader><dll>gadgetron_mricore</dll><classname>GadgetIsmrmrdAcquisitionMessageReader</classname></reader>"
CORE_READERS = "<reader><dll>gadgetron_core_readers</dll><classname>AcquisitionReader</classname></reader>"
STEPZ = '<property name="stepz" value="1"/>'
WRITERS = "<writer><dll>gadgetron_core_writers</dll><classname>ImageWriter</classname></writer>"


def chain_of(stream, readers=READERS, writers=WRITERS):
    ports = f"<readers>{readers}</readers><writers>{writers}</writers>"
    return f"<configuration><version>2</version>{ports}\n<stream>\n{stream}\n</stream></configuration>"


def node(*properties, module="nilatron.pipelines.node", target="nila", kind="python"):
    lines = "\n".join(f'<property name="{name}" value="{value}"/>' for name, value in properties)
    execute = f'<execute name="{module}" target="{target}" type="{kind}"/>'
    return f"<external>\n{execute}\n<configuration>\n{lines}\n</configuration></external>"


def gadget(classname, *properties, dll="gadgetron_mricore"):
    inner = "".join(f'\n<property name="{name}" value="{value}"/>' for name, value in properties)
    return f"<gadget><dll>{dll}</dll><classname>{classname}</classname>{inner}</gadget>"


def fatal(xml):
    return [(problem.line, problem.text) for problem in chain_problems(xml) if problem.fatal]


def notes(xml):
    return [problem.text for problem in chain_problems(xml) if not problem.fatal]


@pytest.mark.parametrize("name", list_chains())
def test_the_shipped_chains_have_no_problems(name):
    assert chain_problems(find_chain(name).xml) == []


@pytest.mark.parametrize(
    ("stream", "line", "reason"),
    [
        (node(target="nlia"), 4, "unknown target 'nlia': choose from zero_filled"),
        (node(target=""), 4, "attribute 'target' is missing"),
        (node(module="nilatron.pipelines.nodes"), 4, "there is no module 'nilatron.pipelines.nodes' of ours; expected"),
        (node(module="nilatron"), 4, "there is no module 'nilatron' of ours"),
        (node(module="nilatorn.pipelines.node"), 4, "there is no module 'nilatorn.pipelines.node' of ours"),
        (node(kind="julia"), 4, "started by type=\"python\", not 'julia'"),
        (node(("steps", "7"), ("stepz", "7")), 7, "nila has no property 'stepz'"),
        (node(("steps", "many")), 6, "property 'steps' cannot be 'many': expected a whole number"),
        (node(("pixel_type", "float32"), ("pixel_type", "int16")), 7, "property 'pixel_type' is set twice"),
        (node(("pixel_type", "float99")), 6, "nila: "),
        (gadget("AutoScaleGadget", ("max_value", "high")), 4, "'max_value' cannot be 'high': expected a number"),
        (gadget("BucketToBufferGadget", ("N_dimension", "slize")), 4, "'N_dimension': expected one of"),
        (gadget("NoiseAdjust"), 3, "gadgetron_mricore has no gadget 'NoiseAdjust'"),
        ("<parallel/>", 3, "expected one <branch>, got 0"),
    ],
)
def test_what_would_end_without_an_image_is_named_with_its_line(stream, line, reason):
    found = fatal(chain_of(stream))
    assert any(at == line and reason in text for at, text in found), found


def test_all_problems_come_at_once_in_the_order_of_their_lines():
    properties = node(("stepz", "7"), ("seed", "auto"), ("steps", "many"), ("series", "mri"), target="nila")
    found = fatal(chain_of(gadget("A") + node(target="x") + properties, writers=""))
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    texts = "\n".join(text for _, text in found)
    for reason in ("no gadget 'A'", "unknown target 'x'", "'stepz'", "'many'", "series", "no <writer>"):
        assert reason in texts


def test_properties_that_contradict_each_other_are_a_problem_of_the_node(monkeypatch):
    from nilatron.gadgets.settings import SettingsError
    from nilatron.pipelines.chain import checks

    def build(target, properties):
        if len(properties) == 2:
            raise SettingsError(f"{target}: not both")

    monkeypatch.setattr(checks, "build_node", build)
    assert fatal(chain_of(node(("a", "1"), ("b", "2")))) == [(4, "nila: not both")]


@pytest.mark.parametrize(
    ("readers", "reason"),
    [
        ("", "no <reader>: Gadgetron cannot read a single message"),
        (
            "<reader><dll>gadgetron_core_readers</dll><classname>WaveformReader</classname></reader>",
            "no <reader> of lines for our node",
        ),
    ],
)
def test_missing_readers_are_named(readers, reason):
    ((_, text),) = fatal(chain_of(node(), readers=readers))
    assert reason in text


@pytest.mark.parametrize(
    "readers",
    [
        "<reader><dll>a_site_s_own</dll><classname>LineReader</classname></reader>",
        "<reader><dll>gadgetron_core_readers</dll><classname>BufferReader</classname></reader>",
        "<reader><dll>gadgetron_core_readers</dll><classname>AcquisitionReader</classname></reader>",
    ],
)
def test_readers_that_feed_our_node(readers):
    assert fatal(chain_of(node(), readers=readers)) == []


@pytest.mark.parametrize(
    ("xml", "note"),
    [
        (chain_of(node(module="site.recon", target="main")), "module 'site.recon' is not ours, and was not checked"),
        (chain_of('<external><connect port="9"/><configuration/></external>'), None),
        (
            chain_of(f'<external><connect port="9"/><configuration>{STEPZ}</configuration></external>'),
            "if `nilatron serve` is to answer: nila has no property 'stepz'",
        ),
        (chain_of(gadget("BucketToBufferGadget", ("split_slice", "true"))), "has no property 'split_slice'"),
        (chain_of(gadget("AutoScaleGadget", ("max_value", "0"))), "Gadgetron overlooks this"),
        (chain_of(gadget("NoiseSummaryGadget"), readers=""), "no <reader>: nothing is read"),
        (chain_of(gadget("AutoScaleGadget", ("max_value", "max@Other"))), None),
        (chain_of(gadget("AnyGadget", ("a", "b"), dll="own")), None),
        (chain_of(gadget("ScaleGadget"), writers=""), "no <writer>: no image leaves Gadgetron"),
        (
            chain_of(node(), readers=CORE_READERS),
            "AcquisitionReader cannot unpack compressed lines",
        ),
        (
            f"<gadgetronStreamConfiguration>{READERS}{WRITERS}{gadget('ScaleGadget')}</gadgetronStreamConfiguration>",
            "<gadgetronStreamConfiguration> is the legacy form, which cannot hold our node",
        ),
        (chain_of(node(), writers=WRITERS.replace("<dll>", "<slot>1022</slot><dll>")), None),
        (chain_of(node(), writers="<writer><dll>gadgetron_dicom</dll><classname>DicomImageWriter</classname></writer>"), None),
    ],
)  # fmt: skip
def test_what_gadgetron_runs_is_not_refused(xml, note):
    assert fatal(xml) == []
    found = notes(xml)
    assert (found == []) if note is None else any(note in text for text in found)
