import copy
from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets import conventional
from nilatron.gadgets.conventional import finished, prepare_slice, slice_identity
from nilatron.gadgets.items import Context
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.pipelines.simulation.simulate import SimulationSettings

SCAN = SimulationSettings(
    matrix=(48, 40, 1), n_coils=4, n_slices=2, noise_std=0.02, noise_gain_spread=1.0, noise_correlation=0.0,
    acceleration=2, calibration_lines=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def slices(slices_of):
    return slices_of(SCAN)[1]


def prepared(item, context=None):
    return prepare_slice(item, context or Context(None), "nila", DEFAULT_WEIGHTS, 0)


def test_a_slice_begins_with_its_conventional_image(slices):
    first = prepared(slices[0])
    assert (first.failure, first.n_before, first.has_signal) == ("", 0, True)
    assert first.conventional.role == "conventional"
    assert first.conventional.provenance["sampler"] == "CG-SENSE"
    assert 0.5 < float(first.conventional.provenance["chi2"]) < 1.5
    np.testing.assert_array_equal(first.conventional.image, first.problem.conventional)
    assert not prepared(replace(slices[0], kspace=0 * slices[0].kspace)).has_signal


def test_slices_of_other_sizes_or_devices_are_not_alike(slices):
    first = prepared(slices[0])
    fewer = replace(
        slices[1], kspace=slices[1].kspace[:3], coil_maps=slices[1].coil_maps[:3], calibration=slices[1].calibration[:3]
    )
    assert prepared(fewer).batch_key == first.batch_key
    names = ("kspace", "counts", "coil_maps")
    smaller = replace(slices[1], **{name: getattr(slices[1], name)[..., 2:] for name in names})
    assert prepared(smaller).batch_key != first.batch_key
    assert replace(first, problem=replace(first.problem, device="cuda")).batch_key != first.batch_key


def test_every_slice_has_its_own_noise(slices):
    assert slice_identity(slices[0]) != slice_identity(slices[1])
    drawn = [prepared(item).problem.generator.standard_normal() for item in (*slices, slices[0])]
    assert drawn[0] == drawn[2] != drawn[1]


def drawn(item, seed=0):
    return prepared(item, Context(None, seed=seed)).problem.generator.standard_normal(8)


@pytest.mark.parametrize("name", ["slice", "contrast", "phase", "set", "repetition", "average", "encoding_space_ref"])
def test_the_same_data_under_another_index_have_other_noise(slices, name):
    head = copy.deepcopy(slices[0].head)
    target = head if name == "encoding_space_ref" else head.idx
    setattr(target, name, getattr(target, name) + 1)
    other = replace(slices[0], head=head)
    assert slice_identity(other) != slice_identity(slices[0])
    assert not np.isin(drawn(other), drawn(slices[0])).any()


def test_the_repetitions_of_a_scan_have_other_noise(slices_of):
    first, second = slices_of(replace(SCAN, n_slices=1, n_repetitions=2))[1]
    assert not np.isin(drawn(first), drawn(second)).any()


def test_a_scan_of_another_seed_has_other_noise(slices):
    assert not np.isin(drawn(slices[0]), drawn(slices[0], seed=1)).any()
    np.testing.assert_array_equal(drawn(slices[0], seed=1), drawn(slices[0], seed=1))


def test_a_device_that_fails_at_once_leaves_the_cpu(slices, monkeypatch):
    def to_device(array, device):
        if device != "cpu":
            raise RuntimeError("CUDA error: out of memory")
        return array

    monkeypatch.setattr(conventional, "to_device", to_device)
    first = prepared(slices[0], Context(None, device="cuda"))
    assert first.failure == "on cuda: CUDA error: out of memory"
    assert (first.problem.device, first.conventional.provenance["device"]) == ("cpu", "cpu")
    for batch_slices in (1, 4):
        settings = NilaNodeSettings(series=("nila",), batch_slices=batch_slices)
        images = list(Reconstructor("nila", settings)(slices, Context(None, device="cuda")))
        assert [image.role for image in images] == ["conventional"] * 2
        for image in images:
            assert "on cuda: CUDA error: out of memory" in image.provenance["fallback"]


def test_a_cpu_that_fails_fails(slices):
    with pytest.raises(ValueError, match="do not fit"):
        prepared(replace(slices[0], coil_maps=slices[0].coil_maps[..., :-1]))


def test_an_image_says_how_well_it_explains_the_data(slices):
    first = prepared(slices[0])
    image = first.problem.conventional
    assert float(finished(slices[0], first.problem, "main", image, {}).provenance["chi2"]) < 1.5
    wrong = finished(slices[0], first.problem, "main", 1.2 * image, {})
    assert float(wrong.provenance["chi2"]) > 1.5
    assert float(wrong.provenance["unexplained"]) == pytest.approx(0.2, abs=0.02)
    assert "look for ghosts" in wrong.provenance["doubt"]
    assert "doubt" not in finished(slices[0], first.problem, "main", 1.2 * image, {"target": "zero_filled"}).provenance
    assert finished(slices[0], first.problem, "uncertainty", abs(image), {"a": "b"}).provenance == {"a": "b"}


def test_an_image_of_what_the_prior_does_not_know_is_doubtful_and_its_map_is_not(slices):
    first = prepared(slices[0])
    image, made = first.problem.conventional, {"prior_mismatch": "this does not look like a head"}
    assert finished(slices[0], first.problem, "main", image, made).provenance["doubt"] == made["prior_mismatch"]
    assert finished(slices[0], first.problem, "uncertainty", abs(image), made).provenance == made
