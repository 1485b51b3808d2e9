from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.core.metrics import nrmse
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.gadgets.items import Context
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import OF_SLICES, build_node
from nilatron.gadgets.problem import Outcome
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(48, 40, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=16)


def run(target, properties=(), items=None, seed=0, **options):
    header, lines = simulate_items(SCAN)
    node = build_node(target, dict(properties), **options)
    return list(node(lines if items is None else items, Context(header, seed=seed)))


def in_front(*names):
    """Items of the scan behind stock gadgets, as a Gadgetron hands them to a node."""
    header, stream = simulate_items(SCAN)
    context = Context(header)
    properties = {"BucketToBufferGadget": {"N_dimension": "contrast", "S_dimension": "average", "split_slices": "true"}}
    properties["AcquisitionAccumulateTriggerGadget"] = {"trigger_dimension": "slice"}
    for name in names:
        stream = STOCK_GADGETS[name](properties.get(name, {}))(stream, context)
    return list(stream)


READOUT = ("NoiseAdjustGadget", "RemoveROOversamplingGadget")
BUCKETS = (*READOUT, "AcquisitionAccumulateTriggerGadget")


@pytest.mark.parametrize("names", [READOUT, BUCKETS, (*BUCKETS, "BucketToBufferGadget")])
def test_images_are_the_same_from_whatever_item_arrives(names):
    expected = run("cg_sense")
    found = run("cg_sense", {"whitened": "yes"}, items=in_front(*names))
    order = [image.slice for image in found]
    assert sorted(order) == [0, 1]
    for image in expected:
        other = found[order.index(image.slice)]
        assert nrmse(other.data[0, 0], image.data[0, 0]) < 1e-3
        assert tuple(other.position) == tuple(image.position)


def test_images_are_ismrmrd_images_in_the_order_of_the_scan():
    images = run("zero_filled", {"pixel_type": "uint16", "image_scale": "10"})
    assert all(isinstance(image, ismrmrd.Image) for image in images)
    assert [image.slice for image in images] == [0, 1]
    assert images[0].data.dtype == np.uint16


def test_methods_can_be_replaced():
    seen = []

    def run_watched(problem, _):
        seen.append(problem)
        return Outcome({"main": problem.conventional})

    watched = replace(METHODS["zero_filled"], run=run_watched)
    images = run("zero_filled", methods={"zero_filled": watched})
    assert len(images) == len(seen) == 2
    with pytest.raises(SettingsError, match="unknown target 'nila': choose from zero_filled"):
        build_node("nila", {}, methods={"zero_filled": watched})


@pytest.mark.slow
def test_seed_property_goes_before_that_of_the_run(tmp_path):
    weights = tmp_path / "prior.safetensors"
    save_prior(weights, EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.5), {})

    def image(seed_of_run, **properties):
        return run("nila", {"series": "nila", **properties}, seed=seed_of_run, weights=weights)[0]

    plain = image(5)
    assert image(1, seed="5").data.tobytes() == plain.data.tobytes()
    assert image(1, seed="auto").data.tobytes() != plain.data.tobytes()
    assert plain.meta["nilatron_seed"] == "5"


@pytest.mark.parametrize(
    ("target", "properties", "message"),
    [
        ("magic", {}, "unknown target 'magic': choose from zero_filled"),
        ("nila", {"stpes": "1"}, "nila has no property 'stpes'; it has: .*seed.*steps.*whitened"),
        ("zero_filled", {"steps": "1"}, "zero_filled has no property 'steps'"),
        ("nila", {"steps": "x"}, "nila: property 'steps' cannot be 'x'"),
        ("nila", {"whitened": "perhaps"}, "whitened must be auto, yes or no"),
        ("nila", {"pixel_type": "int8"}, "pixel_type must be one of"),
        ("nila_published", {"steps": "7"}, "steps must divide 1000"),
    ],
)
def test_errors_come_before_the_first_line(target, properties, message):
    with pytest.raises(SettingsError, match=message):
        build_node(target, properties)


def test_nothing_in_nothing_out():
    assert run("cg_sense", items=[]) == []


def test_settings_belong_to_the_part_of_the_node_that_is_used():
    with pytest.raises(SettingsError, match="nila has no property 'pixel_type'"):
        build_node("nila", {"pixel_type": "uint16"}, parts=OF_SLICES)
    assert build_node("nila", {"steps": "3"}, parts=OF_SLICES).settings[METHODS["nila"].settings_class].steps == 3
