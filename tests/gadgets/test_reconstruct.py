from dataclasses import replace

import numpy as np
import pytest

from nilatron import __version__
from nilatron.core.errors import BadInputError
from nilatron.core.metrics import nrmse
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.sense import SenseOperator
from nilatron.gadgets import methods
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.conventional import prepare_slice
from nilatron.gadgets.doubt import DoubtSettings
from nilatron.gadgets.items import Context
from nilatron.gadgets.nila import run as nila_run
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.problem import Outcome
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import estimate_sensitivities
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate_items

SCAN = SimulationSettings(
    matrix=(48, 40, 1), n_coils=4, noise_std=0.02, noise_gain_spread=1.0, noise_correlation=0.0, acceleration=2,
    calibration_lines=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A prior whose network is zero: D(x) = c x, the denoiser of white Gaussian images."""
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    save_prior(path, EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.5), {"licence": "none"})
    return path


@pytest.fixture(scope="module")
def item():
    return prepared(SCAN)[0]


def prepared(settings):
    header, items = simulate_items(settings)
    context, whitening = Context(header), Whitening(NoiseSettings())
    stream = whitening.lines(items, context)
    stream = whitening.slices(Accumulator()(stream, context), context)
    return list(estimate_sensitivities(stream, context))


def reconstruct(item, target, settings=None, weights=DEFAULT_WEIGHTS, seed=0):
    context = Context(header=None, seed=seed)
    settings = settings or methods.METHODS[target].settings_class()
    return list(Reconstructor(target, settings, weights)([item], context)), context.log


TRUTH = ground_truth(SCAN) / SCAN.noise_std


@pytest.mark.parametrize(("target", "worst"), [("zero_filled", 0.3), ("cg_sense", 0.06), ("l1_wavelet", 0.05)])
def test_baselines_show_the_object_in_snr_units(item, target, worst):
    (image,), log = reconstruct(item, target)
    assert image.role == "main"
    assert image.image.dtype == np.complex64
    assert nrmse(np.abs(image.image), np.abs(TRUTH), rescale=target == "zero_filled") < worst
    assert log.counts["images expected"] == 1


def test_nila_sends_its_own_and_the_conventional_image(item, weights):
    (conventional, image), log = reconstruct(item, "nila", weights=weights)
    assert (conventional.role, image.role) == ("conventional", "main")
    (cg,), _ = reconstruct(item, "cg_sense")
    np.testing.assert_array_equal(conventional.image, cg.image)
    assert nrmse(np.abs(image.image), np.abs(TRUTH), rescale=False) < 0.06
    assert log.counts["images expected"] == 2
    assert log.problems == []


def test_provenance(item, weights):
    (conventional, image), _ = reconstruct(item, "nila", weights=weights, seed=7)
    made = image.provenance
    assert (made["version"], made["seed"], made["sampler"], made["steps"]) == (
        __version__,
        "7",
        "nila_fast",
        str(NilaNodeSettings().steps),
    )
    assert len(made["weights_sha256"]) == 64
    assert float(made["acceleration"]) == pytest.approx(40 / np.count_nonzero(item.counts[0, :, 0]), rel=0.01)
    assert made["noise_source"] == "noise scan"
    assert {"sigma_header", "sigma_measured", "sigma_used", "scale", "chi2"} <= made.keys()
    assert conventional.provenance["sampler"] == "CG-SENSE"
    assert 0.5 < float(made["chi2"]) < 1.5


def test_uncertainty_is_a_standard_deviation(item, weights):
    settings = NilaNodeSettings(series=("nila", "uncertainty"), samples=4, sample_steps=4)
    (image, spread), _ = reconstruct(item, "nila", settings, weights)
    assert (image.role, spread.role) == ("main", "uncertainty")
    assert not spread.image.imag.any()
    assert spread.image.real.min() >= 0
    inside = np.abs(TRUTH) > 0.3 * np.abs(TRUTH).max()
    assert 0.2 < np.median(spread.image.real[inside]) < 5  # the noise of the data is 1


def test_same_seed_same_image_another_seed_another(item, weights):
    settings = NilaNodeSettings(series=("nila",))
    images = [reconstruct(item, "nila", settings, weights, seed)[0][0].image for seed in (1, 1, 2)]
    assert images[0].tobytes() == images[1].tobytes()
    assert images[0].tobytes() != images[2].tobytes()


@pytest.mark.slow
def test_noise_of_a_slice_does_not_depend_on_the_order_of_arrival(weights):
    slices = prepared(replace(SCAN, n_slices=2))
    reconstructor = Reconstructor("nila", NilaNodeSettings(series=("nila",)), weights)
    forward, backward = (list(reconstructor(order, Context(None))) for order in (slices, slices[::-1]))
    for one, other in zip(forward, backward[::-1], strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_slices_are_counted_whatever_else_is_expected(item, monkeypatch):
    n_before = []

    def watched(*arguments):
        n_before.append(arguments[-1])
        return prepare_slice(*arguments)

    monkeypatch.setattr("nilatron.gadgets.reconstruct.prepare_slice", watched)
    context = Context(None)
    context.log.counts["images expected"] = 12
    list(Reconstructor("cg_sense", methods.BaselineSettings())([item] * 3, context))
    assert n_before == [0, 1, 2]


def failing(error):
    def run(*_):
        raise error

    return run


def not_finite(problem, _):
    return Outcome({"main": problem.conventional * np.float32(np.nan)})


FAILURES = {
    "torch": (failing(RuntimeError("CUDA error: out of memory")), "out of memory"),
    "memory": (failing(MemoryError("8 GiB")), "8 GiB"),
    "algebra": (failing(np.linalg.LinAlgError("Singular matrix")), "Singular matrix"),
    "division": (failing(ZeroDivisionError("division by zero")), "division by zero"),
    "not finite": (not_finite, "not finite"),
    "lookup": (failing(KeyError("frequencies")), "frequencies"),
    "system": (failing(OSError(28, "No space left on device")), "No space left"),
}


@pytest.mark.parametrize(
    ("failure", "series"), [*((failure, ("nila",)) for failure in FAILURES), ("torch", ("nila", "conventional"))]
)
def test_when_the_sampler_fails_the_conventional_image_goes_out_with_the_reason(item, monkeypatch, failure, series):
    run, reason = FAILURES[failure]
    monkeypatch.setitem(methods.METHODS, "nila", replace(methods.METHODS["nila"], run=run))
    images, log = reconstruct(item, "nila", NilaNodeSettings(series=series))
    (image,) = images
    assert image.role == "conventional"
    assert nrmse(np.abs(image.image), np.abs(TRUTH), rescale=False) < 0.06
    assert reason in image.provenance["fallback"]
    assert len(log.problems) == 1
    assert reason in log.problems[0]
    assert log.counts["fall-backs"] == 1


def test_the_conventional_image_leaves_before_the_target_is_begun(item):
    prepared = []

    def run(problem, _):
        prepared.append(problem)
        return Outcome({"main": problem.conventional})

    others = {"nila": replace(methods.METHODS["nila"], run=run)}
    images = Reconstructor("nila", NilaNodeSettings(), methods=others).reconstruct(item, Context(None))
    assert next(images).role == "conventional"
    assert prepared == []
    assert next(images).role == "main"
    assert len(prepared) == 1


def test_when_the_conventional_image_has_left_a_copy_with_the_reason_takes_the_place_of_the_missing_one(
    item, monkeypatch
):
    run, reason = FAILURES["torch"]
    monkeypatch.setitem(methods.METHODS, "nila", replace(methods.METHODS["nila"], run=run))
    (first, copy), log = reconstruct(item, "nila", NilaNodeSettings(series=("conventional", "nila")))
    assert (first.role, copy.role) == ("conventional", "main")
    assert "fallback" not in first.provenance
    assert reason in copy.provenance["fallback"]
    assert copy.provenance["target"] == "cg_sense"  # it must not be taken for an image of the network
    np.testing.assert_array_equal(first.image, copy.image)
    assert len(log.problems) == 1


def test_posterior_samples_that_fail_do_not_take_the_image_with_them(item, weights, monkeypatch):
    monkeypatch.setattr(nila_run, "sampled_images", lambda *_, **__: failing(RuntimeError("out of memory"))())
    settings = NilaNodeSettings(series=("nila", "uncertainty"))
    (image,), log = reconstruct(item, "nila", settings, weights)
    assert image.role == "main"
    assert image.provenance["shortened"] == "no posterior samples: out of memory"
    assert log.problems == ["slice 0: no uncertainty image: no posterior samples: out of memory"]
    assert log.counts["images expected"] == 2


def test_missing_weights_are_an_error_of_the_user_and_no_fall_back(item, tmp_path):
    with pytest.raises(BadInputError, match="no weights file"):
        reconstruct(item, "nila", weights=tmp_path / "absent.safetensors")


def test_series_come_in_their_order(item, weights):
    settings = NilaNodeSettings(series=("nila", "conventional"))
    images, _ = reconstruct(item, "nila", settings, weights)
    assert [image.role for image in images] == ["main", "conventional"]


def test_an_empty_slice_gives_empty_images(item, weights):
    empty = replace(item, kspace=0 * item.kspace)
    images, log = reconstruct(empty, "nila", weights=weights)
    assert [image.role for image in images] == ["conventional", "main"]
    assert not any(image.image.any() for image in images)
    assert log.problems == []


def test_other_items_pass():
    assert list(Reconstructor("cg_sense", methods.BaselineSettings())(["item"], Context(None))) == ["item"]


def test_maps_that_do_not_fit_the_data_are_told(item):
    (image,), _ = reconstruct(item, "cg_sense")
    assert "doubt" not in image.provenance
    (image,), _ = reconstruct(replace(item, coil_maps=item.coil_maps[::-1].copy()), "cg_sense")
    assert float(image.provenance["chi2"]) > 1.5
    assert "look for ghosts" in image.provenance["doubt"]


def refused(item, target, settings, weights):
    wrong = replace(item, coil_maps=item.coil_maps[::-1].copy())
    context = Context(header=None)
    return list(Reconstructor(target, settings, weights, doubt=DoubtSettings("refuse"))([wrong], context)), context.log


@pytest.mark.parametrize("series", [("conventional", "nila"), ("nila",)])
def test_a_doubtful_image_that_is_refused_is_replaced_by_the_conventional_one(item, weights, series):
    images, log = refused(item, "nila", NilaNodeSettings(series=series), weights)
    assert len(images) == len(series)
    for image in images:
        assert image.provenance["sampler"] == "CG-SENSE"
    assert "nila image withheld, it is doubtful: " in images[-1].provenance["fallback"]
    assert "look for ghosts" in images[-1].provenance["doubt"]  # the conventional one is no better, and says so
    assert log.counts["fall-backs"] == 1
    assert "withheld" in log.problems[0]
    right = Reconstructor("nila", NilaNodeSettings(series=series), weights, doubt=DoubtSettings("refuse"))
    assert not any("fallback" in image.provenance for image in right([item], Context(None)))


def test_the_conventional_image_itself_stays(item, weights):
    (image,), log = refused(item, "cg_sense", methods.BaselineSettings(), weights)
    assert (image.role, "fallback" in image.provenance, log.problems) == ("main", False, [])
    assert "look for ghosts" in image.provenance["doubt"]


def test_an_image_is_judged_by_the_measurement_that_it_explains(item):
    def run(factor):
        def method(problem, settings):
            del settings
            operator = problem.operator
            other = None if factor is None else SenseOperator(factor * operator.coil_maps, operator.counts)
            return Outcome({"main": problem.conventional}, operator=other)

        cg_sense = replace(methods.METHODS["cg_sense"], run=method)
        (image,) = Reconstructor("cg_sense", cg_sense.settings_class(), methods={"cg_sense": cg_sense})(
            [item], Context(None)
        )
        return float(image.provenance["chi2"])

    assert run(None) == pytest.approx(1, abs=0.5)
    assert run(np.float32(1)) == run(None)
    assert run(np.float32(2)) > 100


def test_what_the_maps_are_from_reaches_the_method(item):
    context = Context(None)
    for thin in (False, True):
        assert (
            prepare_slice(replace(item, thin_maps=thin), context, "nila", DEFAULT_WEIGHTS, 0).problem.thin_maps == thin
        )
