"""Slices that know their neighbours, through the reconstruction gadget."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.errors import BadInputError
from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.weights import beside, save_neighbours
from nilatron.core.prior.weights import read_weights_file, shipped_weights
from nilatron.core.scale import image_scale
from nilatron.gadgets.items import Context
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.remembered import EarlierImage, Remembered, geometry_of, position_mm
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.pipelines.simulation.simulate import SimulationSettings

SCAN = SimulationSettings(
    matrix=(32, 24, 1), n_coils=3, n_slices=5, noise_std=0.02, acceleration=2, calibration_lines=12
)
SETTINGS = NilaNodeSettings(steps=2, precision="fp32", series=("nila",))


@pytest.fixture(scope="module")
def slices(slices_of):
    _, found = slices_of(SCAN)
    return sorted(found, key=lambda item: item.head.idx.slice)


@pytest.fixture(scope="module")
def header(slices_of):
    return slices_of(SCAN)[0]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The tiny prior with a head that adds something wherever there is a neighbour."""
    path = tmp_path_factory.mktemp("prior") / "own.safetensors"
    path.write_bytes(shipped_weights("tiny").read_bytes())
    torch.manual_seed(0)
    head = NeighbourHead()
    torch.nn.init.normal_(head.last.weight, std=0.3)
    save_neighbours(beside(path), head, {}, read_weights_file(path).sha256)
    return path


@pytest.fixture
def run(weights, header):
    def run_(items, mode, method=run_nila, earlier=(), **changes):
        settings = replace(SETTINGS, neighbours=mode, **changes)
        methods = METHODS | {"nila": replace(METHODS["nila"], run=method)}
        context = Context(header, earlier=earlier)
        found = list(Reconstructor("nila", settings, weights, methods)(items, context))
        return found, context.log

    return run_


def by_slice(found):
    return {image.source.head.idx.slice: image for image in found}


def test_without_neighbours_an_image_is_the_same_to_the_last_bit(slices, run):
    alone, _ = run(slices, "off")
    for mode in ("past", "both"):
        (first,), _ = run(slices[:1], mode)
        assert first.image.tobytes() == alone[0].image.tobytes()
        assert first.provenance["neighbours"] == "none"
    assert "neighbours" not in alone[0].provenance


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (0, 2, 4, 1, 3), (1, 3, 0, 2, 4)])
def test_with_both_images_do_not_depend_on_the_order_of_arrival(slices, run, order):
    expected = by_slice(run(slices, "both")[0])
    found = by_slice(run([slices[n] for n in order], "both")[0])
    assert sorted(found) == [0, 1, 2, 3, 4]
    for number, image in found.items():
        assert image.image.tobytes() == expected[number].image.tobytes()
        assert image.provenance["neighbours"] == expected[number].provenance["neighbours"]
    assert found[1].provenance["neighbours"].startswith("slice 0 at ")
    assert "slice 2 at " in found[1].provenance["neighbours"]
    assert found[2].provenance["neighbours"] == "none"


def test_neighbours_change_the_images_that_are_told_of_them(slices, run):
    alone, both = by_slice(run(slices, "off")[0]), by_slice(run(slices, "both")[0])
    same = {number: alone[number].image.tobytes() == both[number].image.tobytes() for number in alone}
    assert same == {0: True, 1: False, 2: True, 3: False, 4: True}
    assert both[1].provenance["neighbours_used"] == "yes"
    assert len(both[1].provenance["neighbours_sha256"]) == 64


def test_past_waits_for_nobody(slices, run):
    found, _ = run(slices, "past")
    assert [image.source.head.idx.slice for image in found] == [0, 1, 2, 3, 4]
    told = [image.provenance["neighbours"] for image in found]
    assert told[0] == "none"
    assert all(text.startswith(f"slice {n} at ") for n, text in enumerate(told[1:]))


def test_both_delivers_as_soon_as_both_sides_are_there_and_the_rest_at_the_end(slices, run):
    assert [image.source.head.idx.slice for image in run(slices, "both")[0]] == [0, 2, 1, 4, 3]
    assert [image.source.head.idx.slice for image in run(slices[1:4:2], "both")[0]] == [1, 3]


def test_an_image_leaves_before_the_next_volume(slices, run):
    other = [replace(item, head=with_contrast(item.head)) for item in slices[:2]]
    found, _ = run([slices[0], slices[1], *other], "both")
    assert [(i.source.head.idx.contrast, i.source.head.idx.slice) for i in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert found[2].provenance["neighbours"] == "none"
    assert "slice 2" not in found[3].provenance["neighbours"]


def earlier_scan(found):
    """The images of a run as an earlier scan, ten times as bright."""
    images = []
    for one in found:
        head, magnitude = one.source.head, 10 * np.abs(one.image[0]).astype(np.float32)
        image = Remembered(head.idx.slice, position_mm(head), magnitude, image_scale(magnitude))
        images.append(EarlierImage(geometry_of(head, one.image.shape), head.idx.contrast, image))
    return tuple(images)


def test_an_earlier_scan_tells_the_first_slice_whatever_its_units(slices, run):
    alone, _ = run(slices, "off")
    earlier = earlier_scan(alone)
    (first,), _ = run(slices[:1], "past", earlier=earlier)
    assert first.provenance["neighbours"] == f"slice 1 of the earlier scan at {distance(slices):+.1f} mm"
    assert first.image.tobytes() != alone[0].image.tobytes()
    brighter = tuple(one._replace(image=doubled(one.image)) for one in earlier)
    (same,), _ = run(slices[:1], "past", earlier=brighter)
    assert np.allclose(same.image, first.image, rtol=1e-4, atol=1e-4)


def test_an_earlier_scan_of_another_geometry_is_told_and_changes_nothing(slices, run, caplog):
    alone, _ = run(slices, "off")
    other = tuple(one._replace(contrast=5) for one in earlier_scan(alone))
    (first, _), _ = run(slices[:2], "past", earlier=other)
    assert caplog.text.count("no image of the earlier scan has its matrix") == 1
    assert first.image.tobytes() == alone[0].image.tobytes()


def test_an_earlier_scan_without_neighbours_is_refused(slices, run):
    with pytest.raises(BadInputError, match="set neighbours to past or both"):
        run(slices[:1], "off", earlier=earlier_scan(run(slices, "off")[0]))


def distance(slices):
    return position_mm(slices[1].head) - position_mm(slices[0].head)


def doubled(image):
    return image._replace(magnitude=2 * image.magnitude, scale=2 * image.scale)


def with_contrast(head):
    import copy

    changed = copy.copy(head)
    changed.idx.contrast = 1
    return changed


def test_nothing_is_lost_when_a_slice_fails(slices, run):
    def method(problem, settings):
        method.calls += 1
        if method.calls == 2:  # slice 2, for which slice 1 waits
            raise RuntimeError("broken")
        return run_nila(problem, settings)

    method.calls = 0
    found, log = run(slices, "both", method)
    assert sorted(by_slice(found)) == [0, 1, 2, 3, 4]
    assert "broken" in by_slice(found)[2].provenance["fallback"]
    assert "slice 2" not in by_slice(found)[1].provenance["neighbours"]
    assert log.counts["fall-backs"] == 1


def test_an_error_in_the_stream_loses_no_slice_that_waits(slices, header, weights):
    def stream():
        yield from slices[:2]
        raise ConnectionError("gone")

    left = Reconstructor("nila", replace(SETTINGS, neighbours="both"), weights)(stream(), Context(header))
    assert [next(left).source.head.idx.slice for _ in range(2)] == [0, 1]
    with pytest.raises(ConnectionError, match="gone"):
        next(left)


def test_with_a_budget_for_each_slice_nobody_waits(slices, run):
    found, _ = run(slices, "both", slice_budget_s=100.0)
    assert [image.source.head.idx.slice for image in found] == [0, 1, 2, 3, 4]


def test_weights_without_a_head_say_so(slices, header):
    settings = replace(SETTINGS, neighbours="past")
    found = list(Reconstructor("nila", settings, shipped_weights("tiny"))(slices[:2], Context(header)))
    assert found[1].provenance["neighbours_used"].startswith("no: no head")
    (alone,) = Reconstructor("nila", SETTINGS, shipped_weights("tiny"))(slices[1:2], Context(header))
    assert found[1].image.tobytes() == alone.image.tobytes()


def test_the_uncertainty_grows_where_neighbours_changed_the_image(slices, header, tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(shipped_weights("default").read_bytes())
    head = NeighbourHead()
    torch.nn.init.constant_(head.last.bias, 1.0)
    save_neighbours(beside(path), head, {}, read_weights_file(path).sha256)
    settings = replace(SETTINGS, series=("nila", "uncertainty"))
    maps = {}
    for mode in ("off", "past"):
        chosen = replace(settings, neighbours=mode)
        found = list(Reconstructor("nila", chosen, path)(slices[:2], Context(header)))
        maps[mode] = found[3]
    assert {one.role for one in maps.values()} == {"uncertainty"}
    assert np.mean(maps["past"].image.real) > np.mean(maps["off"].image.real)
    assert maps["past"].provenance["uncertainty_calibration"] == "uncalibrated"
