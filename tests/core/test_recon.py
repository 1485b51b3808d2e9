"""The way from k-space to an image, and the laws of every method on it; another method is one more line in `METHODS`."""

from dataclasses import dataclass

import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import L1WaveletSettings, l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.kspace import calibration_block
from nilatron.core.metrics import nrmse
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.recon import InverseProblem, estimate_coil_maps, has_thin_maps, inverse_problem, nila_image
from nilatron.core.sampling.coarse_to_fine import nila_coarse_to_fine
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.nila import NilaSettings, nila
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.posterior import sample_posterior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator

SHAPE, LEVELS = (1, 64, 72), karras_schedule(6, 0.8, 0.03)


@dataclass(frozen=True)
class Given:
    """What a method is given: a problem of one slice or of a batch, a prior, the noise's standard deviation, a seed a slice."""

    problem: InverseProblem
    prior: object
    sigma: float = 1.0
    seeds: tuple[int, ...] = (0,)
    callback: object = None

    @property
    def measured(self):
        return self.problem.operator, self.problem.data

    def for_sampler(self):
        """Keywords of the samplers of batches."""
        starts = self.problem.conventional
        n = len(self.seeds)
        return {
            "start": starts if starts.ndim == 4 else starts[None],
            "sigma": [self.sigma] * n,
            "scale": [40.0 * self.sigma] * n,
            "generator": [np.random.default_rng(seed) for seed in self.seeds],
            "callback": self.callback,
        }

    def for_one_slice(self):
        """Keywords of the samplers of one slice."""
        generator = np.random.default_rng(self.seeds[0])
        return {"sigma": self.sigma, "scale": 40.0 * self.sigma, "generator": generator, "callback": self.callback}


def run_zero_filled(given):
    return zero_filled(*given.measured)


def run_cg_sense(given):
    return cg_sense(*given.measured, sigma=given.sigma)


def run_l1_wavelet(given):
    return l1_wavelet(*given.measured, sigma=given.sigma, settings=L1WaveletSettings(n_iterations=30))


def run_nila(given, tau=0.0):
    return nila_fast(given.prior.estimate, *given.measured, LEVELS, tau=tau, **given.for_sampler()).image


def run_coarse_to_fine(given):
    return nila_coarse_to_fine(given.prior.estimate, *given.measured, LEVELS, 3, **given.for_sampler()).image


def run_chains(given):
    settings = ImageSettings(steps=4)
    levels = settings.levels()
    return sample_images(given.prior.estimate, *given.measured, levels, settings, **given.for_sampler()).image


def run_posterior(given):
    start = given.problem.conventional
    keywords = given.for_one_slice() | {"n_samples": 4, "start": start}
    return sample_posterior(given.prior.estimate, *given.measured, LEVELS, **keywords)


def run_published(given):
    return nila(given.prior.estimate, *given.measured, settings=NilaSettings(n_steps=50), **given.for_one_slice())


METHODS = {
    "zero-filled": run_zero_filled,
    "CG-SENSE": run_cg_sense,
    "l1-wavelet": run_l1_wavelet,
    "Nila": run_nila,
    "posterior sample": lambda given: run_nila(given, tau=1.0),
    "coarse to fine": run_coarse_to_fine,
    "images of the chains": run_chains,
    "posterior mean": lambda given: run_posterior(given).mean,
    "posterior deviation": lambda given: run_posterior(given).standard_deviation,
    "published": run_published,
}
ONE_SLICE_ONLY = ("posterior mean", "posterior deviation", "published")
WITH_STEPS = ("Nila", "posterior sample", "coarse to fine", "images of the chains", "posterior mean", "published")


def slice_of(n_coils, acceleration, brightness, seed):
    """A noisy undersampled slice, some of its lines averages."""
    rng, counts = np.random.default_rng(seed), np.zeros(SHAPE, np.float32)
    counts[:, ::acceleration] = counts[:, 24:40] = 1
    counts[:, 30:34] = 1 + seed
    operator = SenseOperator(coil_maps(n_coils, SHAPE), counts)
    data = operator.forward((brightness * phantom(SHAPE)).astype(np.complex64))
    data = data + (operator.weights > 0) * complex_normal(rng, data.shape, data)
    return InverseProblem(operator, data, cg_sense(operator, data))


@pytest.fixture(scope="module")
def slices():
    return [slice_of(4, 2, 40.0, 0), slice_of(4, 3, 10.0, 1)]


@pytest.fixture(scope="module")
def batch(slices):
    operator = SenseOperator.stacked([one.operator for one in slices])
    data, starts = (np.stack([getattr(one, name) for one in slices]) for name in ("data", "conventional"))
    return InverseProblem(operator, data, starts)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_any_measurement(name, toy_measurement, toy_prior):
    operator = toy_measurement(SHAPE)
    truth = (40 * phantom(SHAPE)).astype(np.complex64)
    data = operator.forward(truth)
    data = data + operator.mask * complex_normal(np.random.default_rng(0), data.shape, data)
    problem = InverseProblem(operator, data, cg_sense(operator, data))
    image = METHODS[name](Given(problem, toy_prior)).reshape(SHAPE)
    assert np.isfinite(image).all()
    if name != "posterior deviation":
        seen = operator.mask > 0
        assert relative(image[seen], truth[seen]) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ONE_SLICE_ONLY])
def test_a_batch_is_each_of_its_slices(name, slices, batch, toy_prior):
    together = METHODS[name](Given(batch, toy_prior, seeds=(3, 4)))
    for found, one, seed in zip(together, slices, (3, 4), strict=True):
        expected = METHODS[name](Given(one, toy_prior, seeds=(seed,))).reshape(SHAPE)
        assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("name", ONE_SLICE_ONLY)
def test_methods_for_one_slice_refuse_a_batch(name, batch, toy_prior):
    with pytest.raises(ValueError, match="one slice"):
        METHODS[name](Given(batch, toy_prior))


@pytest.mark.parametrize("name", METHODS)
def test_units_scale_through(name, slices, toy_prior):
    one = slices[0]
    louder = InverseProblem(one.operator, 64 * one.data, 64 * one.conventional)
    expected = 64 * METHODS[name](Given(one, toy_prior))
    assert relative(METHODS[name](Given(louder, toy_prior, sigma=64.0)), expected) < 1e-4


@pytest.mark.parametrize("name", WITH_STEPS)
def test_a_callback_sees_every_step_and_may_stop_the_run(name, slices, toy_prior):
    class StoppedError(RuntimeError):
        pass

    steps = []

    def callback(step, sigma, x):
        assert x.ndim >= 3
        steps.append((step, sigma))
        if step == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        METHODS[name](Given(slices[0], toy_prior, callback=callback))
    assert [step for step, _ in steps] == [0, 1, 2]
    assert steps[0][1] > steps[1][1] > steps[2][1] > 0
    if name in ("Nila", "coarse to fine"):
        assert [sigma for _, sigma in steps] == pytest.approx(LEVELS[:3])


def test_a_prior_that_knows_its_variance_tells_it_in_physical_units(slices, toy_prior):
    given = Given(slices[0], toy_prior)
    found = nila_fast(toy_prior.estimate, *given.measured, LEVELS, tau=0.0, **given.for_sampler())
    v, s = toy_prior.variance, LEVELS[-1]
    np.testing.assert_allclose(found.variance, np.full((1, *SHAPE), v * s**2 / (v + s**2) * 40.0**2), rtol=1e-5)


def test_coil_maps_come_from_the_calibration_lines_or_else_from_the_low_frequencies():
    maps, counts = coil_maps(4, SHAPE), np.zeros(SHAPE, np.float32)
    counts[:, ::2] = counts[:, 20:44] = 1
    kspace = SenseOperator(maps, counts).forward((40 * phantom(SHAPE)).astype(np.complex64))
    block = calibration_block(kspace, counts)
    for calibration, source in ((block, "calibration"), (None, "joint estimation"), (0 * block, "joint estimation")):
        found, told = estimate_coil_maps(kspace, counts, calibration)
        assert told == source
        assert found.shape == maps.shape
        object_pixels = np.abs(phantom(SHAPE)) > 0.1
        agreement = np.abs(np.sum(found.conj() * maps, axis=0))[object_pixels]
        assert np.median(agreement) > 0.97


def test_maps_that_do_not_explain_the_calibration_are_replaced(monkeypatch):
    maps, counts = coil_maps(4, SHAPE), np.ones(SHAPE, np.float32)
    kspace = SenseOperator(maps, counts).forward((40 * phantom(SHAPE)).astype(np.complex64))
    block = calibration_block(kspace, counts)
    few = maps * (np.random.default_rng(0).random(SHAPE) < 0.02)
    monkeypatch.setattr("nilatron.core.recon.espirit_sets", lambda *_: few[None])
    found, told = estimate_coil_maps(kspace, counts, block)
    assert told == "the image of the calibration"
    object_pixels = np.abs(phantom(SHAPE)) > 0.1
    assert np.median(np.abs(np.sum(found.conj() * maps, axis=0))[object_pixels]) > 0.97


def test_kspace_to_image(toy_prior):
    maps, counts = coil_maps(4, SHAPE), np.zeros(SHAPE, np.float32)
    counts[:, ::2] = counts[:, 20:44] = 1
    truth = (40 * phantom(SHAPE)).astype(np.complex64)
    operator = SenseOperator(maps, counts)
    kspace = operator.forward(truth)
    problem = inverse_problem(kspace, counts, maps)
    assert isinstance(problem.operator, SenseOperator)
    np.testing.assert_array_equal(problem.data, problem.operator.data(kspace))
    np.testing.assert_array_equal(problem.conventional, cg_sense(problem.operator, problem.data))
    assert problem.scale == pytest.approx(np.percentile(np.abs(problem.conventional), 99.5), rel=1e-5)
    assert problem.noise_level == 1.0
    image = nila_image(toy_prior.estimate, problem, np.random.default_rng(0))
    assert image.shape == SHAPE
    assert nrmse(image, truth) < 0.1
    np.testing.assert_array_equal(image, nila_image(toy_prior.estimate, problem, np.random.default_rng(0)))


def test_maps_from_little_or_from_lines_that_contradict_these_are_thin():
    shape = (1, 32, 32)
    rng = np.random.default_rng(0)
    kspace = (rng.standard_normal((3, *shape)) + 1j * rng.standard_normal((3, *shape))).astype(np.complex64)
    counts, block = np.ones(shape, np.float32), kspace[:, :, 4:28, 4:28]
    assert not has_thin_maps("calibration", kspace, counts, block)
    assert not has_thin_maps("calibration", kspace, counts, 5j * block, 0.0)
    assert has_thin_maps("calibration", 10 * kspace, counts, 10 * block[:, :, ::-1])
    assert has_thin_maps("joint estimation", kspace, counts, None)
    assert has_thin_maps("calibration, moved", kspace, counts, block)
    assert not has_thin_maps("low frequencies", kspace, counts, None)
    assert not has_thin_maps("joint estimation", kspace[:1], counts, None)
