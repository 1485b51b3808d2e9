from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.chain.find import ChainError, load_chain, parse_chain
from nilatron.pipelines.chain.host import build, run_chain

OWN = (
    '<external><execute name="nilatron.pipelines.node" target="{}" type="python"/>'
    "<configuration>{}</configuration></external>"
)
READERS = (
    "<readers><reader><dll>d</dll><classname>AcquisitionReader</classname></reader></readers>"
    "<writers><writer><dll>d</dll><classname>ImageWriter</classname></writer></writers>"
)


def gadget(classname, **properties):
    inner = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
    return f"<gadget><dll>d</dll><classname>{classname}</classname>{inner}</gadget>"


def chain_of(*stream, ports=READERS):
    return parse_chain(
        f"<configuration><version>2</version>{ports}<stream>{''.join(stream)}</stream></configuration>", "test"
    )


@pytest.fixture
def context():
    return Context(SimpleNamespace(encoding=[]))


def lines_to_images(target, properties):
    """Make a fake node: each line becomes an image of its samples, times the property `factor`."""
    assert target == "fake"

    def node(items, context):
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                image = ismrmrd.Image.from_array(item.data[:, None, :] * np.float32(properties.get("factor", "1")))
                image.image_type = ismrmrd.IMTYPE_MAGNITUDE
                context.log.counts["made"] += 1
                yield image
            else:
                yield item

    return node


def line(value):
    return ismrmrd.Acquisition.from_array(np.full((1, 4), value, dtype=np.complex64))


def test_lines_off_the_grid_stop_in_front_of_all_gadgets():
    spiral = np.stack([np.linspace(0, 1, 8), np.linspace(0, 1, 8) ** 2], axis=1).astype(np.float32)
    head = ismrmrd.Acquisition.from_array(np.ones((1, 8), np.complex64)).getHead()
    head.trajectory_dimensions = 2
    lines = [ismrmrd.Acquisition(head, np.ones((1, 8), np.complex64), spiral)]
    context = Context(SimpleNamespace(encoding=[SimpleNamespace(trajectory=None)]))
    with pytest.raises(ScanError, match="though encoding 0 is Cartesian by the header"):
        list(run_chain(chain_of(OWN.format("fake", "")), lines, context, lines_to_images))


def test_gadgets_work_one_after_the_other(context):
    chain = chain_of(
        OWN.format("fake", '<property name="factor" value="3"/>'),
        gadget("ComplexToFloatGadget"),
        gadget("FloatToUShortGadget", max_intensity=10, min_intensity=0, intensity_offset=0),
        gadget("ImageFinishGadget"),
    )
    images = list(run_chain(chain, [line(2), line(-3j), line(7)], context, lines_to_images))
    assert [int(image.data.max()) for image in images] == [6, 9, 10]
    assert {image.data.dtype for image in images} == {np.dtype(np.uint16)}
    assert context.log.counts["saturated pixels"] == 4


def test_images_come_while_lines_go_in(context):
    fed = []

    def lines():
        for value in range(3):
            fed.append(value)
            yield line(value)

    images = run_chain(chain_of(OWN.format("fake", "")), lines(), context, lines_to_images)
    assert fed == []
    next(images)
    assert fed == [0]
    next(images)
    assert fed == [0, 1]


def test_what_is_no_image_is_left_out_and_said(context, caplog):
    items = [ismrmrd.Waveform(), line(1), ismrmrd.Waveform()]
    assert len(list(run_chain(chain_of(OWN.format("fake", "")), items, context, lines_to_images))) == 1
    assert context.log.counts["Waveform items at the end of the chain"] == 2
    assert caplog.text.count("Waveform") == 1


def test_a_failing_gadget_is_not_an_empty_result(context):
    def failing(target, properties):  # noqa: ARG001
        def node(items, context):  # noqa: ARG001
            yield from ()
            raise RuntimeError(f"{target} failed")

        return node

    with pytest.raises(RuntimeError, match="fake failed"):
        list(run_chain(chain_of(OWN.format("fake", "")), [line(1)], context, failing))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (
            gadget("GenericReconCartesianGrappaGadget"),
            "unknown gadget 'GenericReconCartesianGrappaGadget'.*NoiseAdjust",
        ),
        (gadget("NoiseAdjustGadget", level=1), "NoiseAdjustGadget has no property 'level'"),
        (gadget("NoiseAdjustGadget", noise_dwell_time_us_preset="fast"), "'noise_dwell_time_us_preset'.*'fast'"),
        ('<external><execute name="os" target="abort" type="python"/></external>', "'os'.*is not run"),
        (
            '<external><execute name="nilatron.pipelines.node" target="x" type="matlab"/></external>',
            "'matlab'.*is not run",
        ),
        ('<external><connect address="10.0.0.1" port="18000"/></external>', "10.0.0.1:18000 is not followed"),
    ],
)
def test_what_the_host_does_not_run_is_refused_before_the_first_item(context, stream, message):
    def never():
        raise AssertionError("asked for an item")
        yield

    with pytest.raises(ChainError, match=message):
        run_chain(chain_of(OWN.format("fake", ""), stream), never(), context, lines_to_images)


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_unknown_readers_and_writers_are_refused(kind):
    ports = f"<{kind}s><{kind}><dll>d</dll><classname>Strange</classname></{kind}></{kind}s>"
    with pytest.raises(ChainError, match=f"unknown {kind} 'Strange'"):
        build(chain_of(OWN.format("fake", ""), ports=ports), lines_to_images)


def test_wrong_settings_of_our_own_node_are_chain_errors():
    def picky(target, properties):
        raise SettingsError(f"{target} has no property {next(iter(properties))!r}")

    with pytest.raises(ChainError, match="chain 'test': fake has no property 'colour'"):
        build(chain_of(OWN.format("fake", '<property name="colour" value="red"/>')), picky)


@pytest.mark.parametrize(
    "name", ["zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published", "nila_after_gadgetron"]
)
def test_our_own_node_takes_the_properties_of_the_shipped_chains(name):
    chain = load_chain(name)
    assert len(build(chain)) == len(chain.stream)
