import numpy as np
import pytest
import torch

from nilatron.core.backend import complex_normal, namespace, to_numpy
from nilatron.core.measurement import chi_squared
from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.nila_fast import SolverSettings, balanced_noise, nila_fast
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator


def image_run(problem, n_steps=16, seed=1):
    start = problem.operator.adjoint(problem.data)[None]
    return nila_fast(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        karras_schedule(n_steps),
        start=start,
        sigma=problem.sigma,
        scale=1.0,
        tau=0.0,
        generator=np.random.default_rng(seed),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "bound"), [(0.01, 0.05), (0.05, 0.08), (0.1, 0.08), (0.2, 0.08)])
def test_the_image_is_close_to_the_true_posterior_mean(make_problem, sigma, bound):
    distances = []
    for seed in range(3):
        problem = make_problem(sigma, seed)
        image = image_run(problem).image[0]
        distances.append(np.linalg.norm(image - problem.mean) / np.linalg.norm(problem.mean))
    assert np.mean(distances) < bound


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_the_image_is_nearly_as_good_as_the_posterior_mean(make_problem, sigma):
    problem = make_problem(sigma)
    error = np.linalg.norm(image_run(problem).image[0] - problem.truth)
    assert error < 1.06 * np.linalg.norm(problem.mean - problem.truth)
    conventional = problem.operator.adjoint(problem.data)
    assert error < 0.8 * np.linalg.norm(conventional - problem.truth)


def wiener_distance(n_steps, sigma_fraction=1.0, momentum=0.0):
    """From the closed form, relative; D for CN(0, v I) is linear, one unitary coil measures all of k-space.

    A network that is told a share of the level acts as a prior of variance v / share^2.
    """
    rng = np.random.default_rng(3)
    variance, sigma = 0.25, 0.3
    operator = SenseOperator(np.ones((1, 1, 8, 8), np.complex128), np.ones((1, 8, 8)))
    truth = np.sqrt(variance) * complex_normal(rng, (1, 8, 8), operator.coil_maps)
    data = operator.forward(truth) + sigma * complex_normal(rng, (1, 1, 8, 8), operator.coil_maps)
    acting = variance / sigma_fraction**2
    wiener = operator.adjoint(data) * acting / (acting + sigma**2)
    result = nila_fast(
        lambda x, level: Estimate(x * variance / (variance + level**2)),
        operator,
        data,
        karras_schedule(n_steps, 0.5, 0.005),
        start=operator.adjoint(data)[None],
        sigma=sigma,
        scale=1.0,
        tau=0.0,
        generator=rng,
        solver=SolverSettings(tolerance=1e-8, max_iterations=50),
        sigma_fraction=sigma_fraction,
        momentum=momentum,
    )
    return np.linalg.norm(result.image[0] - wiener) / np.linalg.norm(wiener)


@pytest.mark.parametrize("sigma_fraction", [1.0, 0.8])
@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_a_gaussian_prior_has_the_closed_form_posterior_mean(sigma_fraction, momentum):
    """x^ at level s solves (1/sigma_y^2 + 1/s^2) x^ = y/sigma_y^2 + D/s^2; its fixed point is the Wiener solution."""
    assert wiener_distance(40, sigma_fraction, momentum) < 0.03


@pytest.mark.parametrize("n_steps", [5, 7, 12])
def test_with_momentum_few_steps_come_nearer(n_steps):
    assert wiener_distance(n_steps, momentum=0.4) < 0.8 * wiener_distance(n_steps)


def test_samples_have_no_momentum(make_problem):
    problem = make_problem(0.1)
    with pytest.raises(ValueError, match=r"no momentum, got 0\.4"):
        nila_fast(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            karras_schedule(4),
            start=problem.operator.adjoint(problem.data)[None],
            sigma=0.1,
            scale=1.0,
            tau=1.0,
            generator=np.random.default_rng(0),
            momentum=0.4,
        )


def test_same_seed_same_bytes_and_another_seed_another_image(make_problem):
    problem = make_problem(0.1)
    first, again, other = (image_run(problem, seed=s).image.tobytes() for s in (5, 5, 6))
    assert first == again
    assert first != other


def test_physical_units_scale_through(make_problem):
    """Data and noise times c, image scale times c: the image times c."""
    problem = make_problem(0.1)
    start = problem.operator.adjoint(problem.data)[None]
    runs = [
        nila_fast(
            problem.prior.estimate,
            problem.operator,
            c * problem.data,
            karras_schedule(6),
            start=c * start,
            sigma=c * problem.sigma,
            scale=c,
            tau=0.0,
            generator=np.random.default_rng(0),
        ).image
        for c in (1.0, 37.0)
    ]
    assert np.allclose(37 * runs[0], runs[1], rtol=1e-6, atol=1e-6)


def test_numpy_and_torch_agree(make_problem):
    problem = make_problem(0.1)
    expected = image_run(problem, n_steps=4).image
    operator = SenseOperator(torch.from_numpy(problem.operator.coil_maps), torch.from_numpy(problem.operator.counts))
    data = torch.from_numpy(problem.data)
    got = nila_fast(
        lambda x, level: Estimate(torch.from_numpy(problem.prior.denoise(x.numpy(), level))),
        operator,
        data,
        karras_schedule(4),
        start=operator.adjoint(data)[None],
        sigma=problem.sigma,
        scale=1.0,
        tau=0.0,
        generator=np.random.default_rng(1),
    ).image
    assert isinstance(got, torch.Tensor)
    assert np.linalg.norm(got.numpy() - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize(("sigma", "scale"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_impossible_noise_or_scale_is_refused(make_problem, sigma, scale):
    problem = make_problem(0.1)
    with pytest.raises(ValueError, match="must be positive"):
        nila_fast(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            (0.5,),
            start=problem.truth[None],
            sigma=sigma,
            scale=scale,
            tau=0.0,
            generator=np.random.default_rng(0),
        )


SIGMAS, SCALES = (0.05, 0.1, 0.2), (1.0, 30.0, 0.2)


def slices(make_problem, kind):
    """Three slices of unlike noise, sampling and units, as single or double precision arrays of a library."""
    found = []
    for place, (sigma, scale) in enumerate(zip(SIGMAS, SCALES, strict=True)):
        problem = make_problem(sigma, place)
        counts = np.array(problem.operator.counts)
        if place == 1:
            counts[..., ::4] = 0
        maps = problem.operator.coil_maps
        if kind == "numpy complex64":
            maps, counts = maps.astype(np.complex64), counts.astype(np.float32)
        data = scale * problem.data.astype(maps.dtype)
        if kind == "torch":
            maps, counts, data = (torch.from_numpy(array) for array in (maps, counts, data))
        operator = SenseOperator(maps, counts)
        found.append((operator, operator.data(data)))
    return found


def denoiser_of(problem, kind):
    if kind == "torch":
        return lambda x, level: Estimate(torch.from_numpy(problem.prior.denoise(x.numpy(), level)))
    return problem.prior.estimate


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["numpy", "numpy complex64", "torch"])
def test_a_batch_of_slices_gives_the_images_that_they_have_alone(make_problem, kind, tau):
    pairs, denoiser = slices(make_problem, kind), denoiser_of(make_problem(0.1), kind)
    xp = namespace(pairs[0][1])
    options = {"schedule": karras_schedule(5), "tau": tau, "sigma_fraction": 0.9, "momentum": 0.4 * (1 - tau)}
    alone = [
        nila_fast(
            denoiser,
            operator,
            data,
            start=operator.adjoint(data)[None],
            sigma=scale * sigma,
            scale=scale,
            generator=np.random.default_rng(place),
            **options,
        )
        for place, ((operator, data), sigma, scale) in enumerate(zip(pairs, SIGMAS, SCALES, strict=True))
    ]
    operator, data = SenseOperator.stacked([pair[0] for pair in pairs]), xp.stack([pair[1] for pair in pairs])
    together = nila_fast(
        denoiser,
        operator,
        data,
        start=operator.adjoint(data),
        sigma=[scale * sigma for scale, sigma in zip(SCALES, SIGMAS, strict=True)],
        scale=SCALES,
        generator=[np.random.default_rng(place) for place in range(3)],
        **options,
    )
    assert together.image.dtype == alone[0].image.dtype
    assert together.n_iterations == tuple(result.n_iterations[0] for result in alone)
    for image, result, pair in zip(together.image, alone, pairs, strict=True):
        found, expected = to_numpy(image), to_numpy(result.image[0])
        assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
        assert chi_squared(*pair, image) == pytest.approx(chi_squared(*pair, result.image[0]), rel=1e-5)


def test_as_many_generators_as_elements(make_problem):
    problem = make_problem(0.1)
    with pytest.raises(ValueError, match="one for each of 2 elements, got 1"):
        nila_fast(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            (0.5,),
            start=np.stack([problem.truth] * 2),
            sigma=1.0,
            scale=1.0,
            tau=0.0,
            generator=[np.random.default_rng(0)],
        )


def test_balanced_noise_sums_to_zero_and_keeps_its_variance():
    rng = np.random.default_rng(0)
    noise = np.stack([complex_normal(rng, (400, 500), np.zeros(1, np.complex128)) for _ in range(4)])
    balanced = balanced_noise(noise)
    np.testing.assert_allclose(balanced.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(np.abs(balanced) ** 2, axis=(1, 2)), 1, rtol=0.02)


@pytest.mark.parametrize("generators", [[np.random.default_rng(0), np.random.default_rng(1)], np.random.default_rng(0)])
def test_noise_that_cannot_be_balanced_is_refused(make_problem, generators):
    problem, n_elements = make_problem(0.1), 2 if isinstance(generators, list) else 1
    with pytest.raises(ValueError, match="balanced noise needs one generator and at least two elements"):
        nila_fast(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            karras_schedule(2),
            start=np.stack([problem.operator.adjoint(problem.data)] * n_elements),
            sigma=problem.sigma,
            scale=1.0,
            tau=1.0,
            generator=generators,
            balanced=True,
        )


def wrongly_measured(problem):
    """The measurement with one coil of the other sign."""
    maps = problem.operator.coil_maps.copy()
    maps[..., 0, :, :, :] *= -1
    return SenseOperator(maps, problem.operator.counts)


def renewed_run(problem, operator, renewal, start):
    return nila_fast(
        problem.prior.estimate,
        operator,
        problem.data,
        karras_schedule(4),
        start=start,
        sigma=problem.sigma,
        scale=2.0,
        tau=0.0,
        generator=np.random.default_rng(1),
        renewal=renewal,
    ).image


def test_a_measurement_that_is_renewed_before_its_first_use_is_the_only_one(make_problem):
    problem = make_problem(0.1)
    start = problem.operator.adjoint(problem.data)[None]
    wrong = wrongly_measured(problem)
    right = renewed_run(problem, problem.operator, None, start)
    assert not np.array_equal(renewed_run(problem, wrong, None, start), right)
    np.testing.assert_array_equal(renewed_run(problem, wrong, lambda *_: problem.operator, start), right)


def test_a_renewal_sees_each_estimate_in_physical_units_and_may_keep_the_measurement(make_problem):
    problem = make_problem(0.1)
    start = problem.operator.adjoint(problem.data)[None]
    seen = []

    def keep(level, estimate):
        seen.append((level, estimate))

    np.testing.assert_array_equal(
        renewed_run(problem, problem.operator, keep, start), renewed_run(problem, problem.operator, None, start)
    )
    assert [level for level, _ in seen] == list(karras_schedule(4))
    last = seen[-1][1]
    assert np.linalg.norm(last - problem.truth) < 0.5 * np.linalg.norm(problem.truth)
