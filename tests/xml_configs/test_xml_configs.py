"""Every chain as shipped: Gadgetron's grammar, and images of the embedded host where it can run it."""

from importlib import resources

import numpy as np
import pytest

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.pipelines.chain.find import External, list_chains, load_chain
from nilatron.pipelines.chain.grammar import check_grammar
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

CHAINS = sorted(
    path.name.removesuffix(".xml")
    for path in resources.files("nilatron.xml_configs").iterdir()
    if path.name.endswith(".xml")
)
SERVER_ALONE = ("nila_connect", "nila_after_reference_prep")
SCAN = SimulationSettings(matrix=(32, 32, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=12)
PLACES = (
    "nila",
    "nila_after_noise_adjust",
    "nila_after_oversampling",
    "nila_after_trigger",
    "nila_after_gadgetron",
    "nila_after_reference_prep",
    "nila_connect",
)  # fmt: skip


def own(chain):
    (node,) = (node for node in chain.stream if isinstance(node, External))
    return node


def xml_of(name):
    return resources.files("nilatron.xml_configs").joinpath(f"{name}.xml").read_bytes()


def test_there_is_a_chain_for_every_place():
    assert set(PLACES) <= set(list_chains()) == set(CHAINS)
    before = {name: [getattr(node, "classname", "node") for node in load_chain(name).stream] for name in PLACES}
    places = {before[name][before[name].index("node") - 1] if before[name][0] != "node" else "first" for name in PLACES}
    assert places == {
        "first",
        "NoiseAdjustGadget",
        "RemoveROOversamplingGadget",
        "AcquisitionAccumulateTriggerGadget",
        "BucketToBufferGadget",
        "GenericReconCartesianReferencePrepGadget",
    }


@pytest.mark.parametrize("name", CHAINS)
def test_gadgetron_would_take_it_and_the_node_understands_its_properties(name):
    check_grammar(xml_of(name), name)
    node = own(load_chain(name))
    properties = dict(node.properties)
    target = properties.pop("target", node.target)
    assert (node.kind, node.target or node.address) == (
        ("connect", "localhost") if name == "nila_connect" else ("execute", target)
    )
    build_node(target, properties)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CHAINS if name not in SERVER_ALONE])
def test_the_embedded_host_runs_it(name):
    def cg_sense_instead(_, properties):
        known = {key: value for key, value in properties.items() if key in ("pixel_type", "image_scale", "whitened")}
        return build_node("cg_sense", known | {"pixel_type": "complex64"})

    header, items = simulate_items(SCAN)
    context = Context(header)
    images = list(run_chain(load_chain(name), items, context, cg_sense_instead))
    assert len(images) == context.log.counts["images expected"] == 2
    assert not context.log.problems
    header, items = simulate_items(SCAN)
    expected = list(build_node("cg_sense", {"pixel_type": "complex64"})(iter(items), Context(header)))
    for got, want in zip(images, expected, strict=True):
        a, b = abs(got.data).astype(float).ravel(), abs(want.data).astype(float).ravel()
        scale = a @ b / (b @ b)
        assert np.linalg.norm(a - scale * b) < 0.02 * np.linalg.norm(a)


@pytest.mark.parametrize("name", CHAINS)
def test_the_readers_are_those_that_unpack_compressed_lines(name):
    readers = [(port.dll, port.classname) for port in load_chain(name).readers]
    assert readers == [
        ("gadgetron_mricore", "GadgetIsmrmrdAcquisitionMessageReader"),
        ("gadgetron_mricore", "GadgetIsmrmrdWaveformMessageReader"),
    ]
