"""Several slices at once: the images that one by one gives, in their order, whatever fails."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from nilatron.core.prior.weights import shipped_weights
from nilatron.gadgets.items import Context, Reconstruction, ScanError
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.nila.method import run_nila_batch
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.node import build_node
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(
    matrix=(32, 24, 1), n_coils=3, n_slices=5, noise_std=0.02, acceleration=2, calibration_lines=12
)
SETTINGS = NilaNodeSettings(steps=2, samples=2, sample_steps=1, precision="fp32", refine_maps="off")


@pytest.fixture(scope="module")
def slices(slices_of):
    _, found = slices_of(SCAN)
    return sorted(found, key=lambda item: item.head.idx.slice)


@pytest.fixture(scope="module")
def one_by_one(slices):
    """What is expected, by series."""
    return cache(lambda series: run(slices, 1, series=series)[0])


class Nila:
    """The real one; `breaks(problems)` may raise, or damage the outcomes through `damage(outcomes)`."""

    def __init__(self, breaks=lambda _: None, damage=lambda outcomes: outcomes):
        self.sizes, self.breaks, self.damage = [], breaks, damage

    def run(self, problem, settings):
        return self.run_batch([problem], settings)[0]

    def run_batch(self, problems, settings):
        self.sizes.append(len(problems))
        self.breaks(problems)
        return self.damage(run_nila_batch(problems, settings))

    @property
    def methods(self):
        return METHODS | {"nila": replace(METHODS["nila"], run=self.run, run_batch=self.run_batch)}


def run(items, batch_size, nila=None, **changes):
    settings = replace(SETTINGS, batch_slices=batch_size, **changes)
    context = Context(None)
    return list(
        Reconstructor("nila", settings, shipped_weights("tiny"), (nila or Nila()).methods)(items, context)
    ), context.log


def same(found, expected):
    """Images and how they were made; texts of measured numbers may differ in their last digit.

    A map of the samples' deviation is a difference of images, which are as near as the image that they part from.
    """
    norms = {image.source.head.idx.slice: np.linalg.norm(image.image) for image in expected if image.role == "main"}
    assert [image.role for image in found] == [image.role for image in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.source.head.idx.slice == other.source.head.idx.slice
        assert np.linalg.norm(one.image - other.image) <= 1e-5 * norms[one.source.head.idx.slice]
        assert one.provenance.keys() == other.provenance.keys()
        for name, text in other.provenance.items():
            if name in ("chi2", "scale", "sigma_model"):
                assert float(one.provenance[name]) == pytest.approx(float(text), rel=2e-3)
            else:
                assert one.provenance[name] == text


def by_slice(images):
    """In the order in which one by one sends them."""
    return sorted(images, key=lambda image: image.source.head.idx.slice)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "batch_size", "sizes"),
    [
        (("conventional", "nila"), 2, [2, 2, 1]),
        (("nila", "uncertainty"), 4, [4, 1]),
        (("nila", "conventional"), 9, [5]),
    ],
)
def test_images_are_those_of_one_by_one(slices, one_by_one, series, batch_size, sizes):
    nila = Nila()
    found, log = run(slices, batch_size, nila, series=series)
    same(by_slice(found), one_by_one(series))
    assert nila.sizes == sizes
    assert log.problems == []
    assert log.counts["images expected"] == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "batch_size", "sizes"), [("conventional,nila", 2, [2, 2, 1]), ("nila,uncertainty", 4, [4, 1])]
)
def test_a_chain_numbers_its_images_as_it_does_one_by_one(series, batch_size, sizes):
    nila = Nila()

    def images(batch_slices):
        header, lines = simulate_items(replace(SCAN, n_coils=6))
        properties = {"series": series, "steps": "2", "samples": "2", "sample_steps": "1", "precision": "fp32"}
        properties |= {"batch_slices": str(batch_slices), "refine_maps": "off"}
        node = build_node("nila", properties, shipped_weights("tiny"), nila.methods)
        return {(image.image_series_index, image.image_index): image for image in node(lines, Context(header))}

    found = images(batch_size)
    assert nila.sizes == sizes
    expected = images(1)
    assert found.keys() == expected.keys()
    assert len(expected) == 10
    for (series_index, index), image in expected.items():
        one, main = found[series_index, index], expected[1, index]
        assert one.slice == image.slice == main.slice
        assert np.linalg.norm(one.data - image.data) <= 1e-5 * np.linalg.norm(main.data)


def test_the_conventional_images_leave_at_once_and_the_others_when_the_batch_is_full(slices):
    given = []

    def arriving():
        for item in slices:
            given.append(item)
            yield item

    settings = replace(SETTINGS, batch_slices=2)
    images = Reconstructor("nila", settings, shipped_weights("tiny"))(arriving(), Context(None))
    seen = [(image.role, image.source.head.idx.slice, len(given)) for image in images]
    assert seen == [
        *(("conventional", 0, 1), ("conventional", 1, 2), ("main", 0, 2), ("main", 1, 2)),
        *(("conventional", 2, 3), ("conventional", 3, 4), ("main", 2, 4), ("main", 3, 4)),
        *(("conventional", 4, 5), ("main", 4, 5)),
    ]


def out_of_memory(problems):
    if len(problems) > 1:
        for problem in problems:
            problem.generator.standard_normal(100)
        raise RuntimeError("CUDA error: out of memory")


@pytest.mark.slow
@pytest.mark.parametrize("series", [("conventional", "nila"), ("nila", "uncertainty")])
def test_when_the_batch_fails_each_slice_is_done_alone_with_its_own_noise(slices, one_by_one, series):
    nila = Nila(out_of_memory)
    found, log = run(slices, 4, nila, series=series)
    for one, other in zip(by_slice(found), one_by_one(series), strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.provenance == other.provenance
    assert nila.sizes == [4, 1, 1, 1, 1, 1]
    assert log.problems == []
    assert log.counts["batches done slice by slice"] == 1


def test_when_everything_fails_every_slice_has_its_conventional_image(slices):
    def broken(_):
        raise MemoryError("8 GiB")

    for batch_size in (1, 4):
        images, log = run(slices, batch_size, Nila(broken), series=("nila",))
        assert [image.role for image in images] == ["conventional"] * 5
        assert all("8 GiB" in image.provenance["fallback"] for image in images)
        assert [image.source.head.idx.slice for image in images] == list(range(5))
        assert len(log.problems) == log.counts["fall-backs"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [2, 4])
def test_an_image_that_is_not_finite_is_replaced_and_the_others_stay(slices, one_by_one, batch_size):
    def damage(outcomes):
        for outcome in outcomes:
            if damaged.sent == 2:
                outcome.images["main"] = outcome.images["main"] * np.float32(np.nan)
            damaged.sent += 1
        return outcomes

    damaged = Nila(damage=damage)
    damaged.sent = 0
    found, log = run(slices, batch_size, damaged, series=("nila",))
    expected = one_by_one(("nila",))
    assert [image.role for image in found] == ["main", "main", "conventional", "main", "main"]
    assert "not finite" in found[2].provenance["fallback"]
    same(found[:2] + found[3:], expected[:2] + expected[3:])
    assert len(log.problems) == 1


@pytest.mark.slow
def test_a_slice_without_signal_is_empty_and_takes_no_part(slices):
    items = list(slices)
    items[1] = replace(slices[1], kspace=0 * slices[1].kspace)
    nila = Nila()
    found, log = run(items, 4, nila)
    expected, _ = run(items, 1)
    same(by_slice(found), expected)
    empty = [image for image in found if image.source.head.idx.slice == 1]
    assert [image.role for image in empty] == ["conventional", "main"]
    assert not any(image.image.any() for image in empty)
    assert nila.sizes == [3, 1]
    assert log.problems == []


@pytest.mark.slow
def test_slices_of_other_sizes_are_not_mixed(slices):
    items = list(slices)
    for place in (2, 3):
        names = ("kspace", "counts", "coil_maps")
        items[place] = replace(slices[place], **{name: getattr(slices[place], name)[..., 4:-4] for name in names})
    nila = Nila()
    found, _ = run(items, 4, nila)
    expected, _ = run(items, 1)
    same(by_slice(found), expected)
    assert nila.sizes == [2, 2, 1]


@pytest.mark.slow
def test_slices_of_unlike_coils_may_be(slices):
    """As coil compression makes them."""
    items = list(slices)
    for place, n_coils in ((0, 2), (3, 1)):
        kspace, maps = slices[place].kspace[:n_coils], slices[place].coil_maps[:n_coils]
        items[place] = replace(slices[place], kspace=kspace, coil_maps=maps, calibration=None)
    nila = Nila()
    found, _ = run(items, 4, nila)
    expected, _ = run(items, 1)
    same(by_slice(found), expected)
    assert nila.sizes == [4, 1]


@pytest.mark.slow
def test_other_items_keep_their_place(slices):
    def order(batch_size):
        items, _ = run([*slices[:3], "note", *slices[3:]], batch_size, series=("nila",))
        return [item.source.head.idx.slice if isinstance(item, Reconstruction) else item for item in items]

    assert order(2) == order(4) == order(1) == [0, 1, 2, "note", 3, 4]


def test_no_image_is_lost_when_the_stream_breaks(slices):
    def broken():
        yield from slices[:3]
        raise ScanError("lines of another scan")

    images = Reconstructor("nila", replace(SETTINGS, batch_slices=4), shipped_weights("tiny"))(broken(), Context(None))
    assert [next(images).role for _ in range(6)] == ["conventional"] * 3 + ["main"] * 3
    with pytest.raises(ScanError, match="another scan"):
        next(images)


def test_nobody_works_for_a_consumer_that_is_gone(slices):
    nila = Nila()
    images = Reconstructor("nila", replace(SETTINGS, batch_slices=4), shipped_weights("tiny"), nila.methods)(
        slices, Context(None)
    )
    next(images)
    images.close()
    assert nila.sizes == []


@pytest.mark.parametrize(
    ("target", "changes", "expected"),
    [
        ("nila", {"batch_slices": 4}, 4),
        ("nila", {"batch_slices": 4, "scan_budget_s": 5.0}, 4),
        ("nila", {"batch_slices": 4, "slice_budget_s": 5.0}, 1),
        ("nila", {}, 1),
        ("nila_published", {}, 1),
        ("cg_sense", {}, 1),
    ],
)
def test_how_many_slices_wait_for_each_other(target, changes, expected):
    settings = METHODS[target].settings_class(**changes)
    assert Reconstructor(target, settings).batch_size == expected


def test_a_method_that_takes_one_slice_at_a_time_is_not_waited_for():
    alone = METHODS | {"nila": replace(METHODS["nila"], run_batch=None)}
    assert Reconstructor("nila", NilaNodeSettings(batch_slices=4), methods=alone).batch_size == 1


def test_slices_whose_maps_are_refined_wait_for_nobody(slices):
    order = []

    def arriving():
        for place, item in enumerate(slices[:3]):
            order.append(f"slice {place}")
            yield replace(item, thin_maps=place == 1)

    settings = replace(SETTINGS, batch_slices=4, series=("nila",), refine_maps="auto")
    for image in Reconstructor("nila", settings, shipped_weights("tiny"))(arriving(), Context(None)):
        order.append(f"image {image.source.head.idx.slice}")
    assert order == ["slice 0", "slice 1", "image 0", "image 1", "slice 2", "image 2"]
