import math

import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.prior.prior import Estimate
from nilatron.core.resolution import coarse_shape
from nilatron.core.sampling.coarse_to_fine import nila_coarse_to_fine
from nilatron.core.sampling.nila_fast import SolverSettings, nila_fast
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator

SHAPE, COARSE = (1, 80, 72), (1, 40, 40)
GROWTH = math.sqrt(80 * 72 / 40**2)
VARIANCE, SIGMA = 0.25, 0.3
SCHEDULE = karras_schedule(9, 0.8, 0.03)


def gaussian_denoiser(x, level):
    """Of a prior CN(0, v I) at full resolution; where it is coarse the image scale is larger and v the same."""
    variance = VARIANCE if x.shape[-2:] == SHAPE[-2:] else VARIANCE / GROWTH**2
    return Estimate(x * variance / (variance + level**2))


@pytest.fixture
def problem():
    """Operator, data and start of a prior that is white, fully sampled by one coil."""
    rng = np.random.default_rng(3)
    operator = SenseOperator(np.ones((1, *SHAPE), np.complex128), np.ones(SHAPE))
    truth = np.sqrt(VARIANCE) * complex_normal(rng, SHAPE, operator.coil_maps)
    data = operator.forward(truth) + SIGMA * complex_normal(rng, (1, *SHAPE), operator.coil_maps)
    return operator, data, operator.adjoint(data)[None]


def run(problem, schedule, n_coarse, denoiser=gaussian_denoiser, scale=1.0, seed=0, momentum=0.0):
    operator, data, start = problem
    return nila_coarse_to_fine(
        denoiser,
        operator,
        data,
        schedule,
        n_coarse,
        start=start,
        sigma=SIGMA,
        scale=scale,
        generator=np.random.default_rng(seed),
        solver=SolverSettings(tolerance=1e-8, max_iterations=50),
        momentum=momentum,
    )


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_a_gaussian_prior_has_the_closed_form_posterior_mean(problem, momentum):
    operator, data, _ = problem
    wiener = operator.adjoint(data) * VARIANCE / (VARIANCE + SIGMA**2)
    result = run(problem, karras_schedule(40, 0.8, 0.005), 12, momentum=momentum)
    assert np.linalg.norm(result.image[0] - wiener) < 0.03 * np.linalg.norm(wiener)
    assert (result.n_evaluations, result.n_coarse) == (40, 12)


def test_without_coarse_steps_it_is_the_sampler(problem):
    operator, data, start = problem
    expected = nila_fast(
        gaussian_denoiser,
        operator,
        data,
        SCHEDULE,
        start=start,
        sigma=SIGMA,
        scale=1.0,
        tau=0.0,
        generator=np.random.default_rng(0),
        solver=SolverSettings(tolerance=1e-8, max_iterations=50),
    )
    assert np.array_equal(run(problem, SCHEDULE, 0).image, expected.image)


def test_small_images_are_sampled_at_their_resolution():
    shape = (1, 40, 40)
    assert coarse_shape(shape) == shape
    operator = SenseOperator(np.ones((1, *shape), np.complex128), np.ones(shape))
    data = operator.forward(np.ones(shape) + 0j)
    seen = []

    def denoiser(x, level):
        seen.append(x.shape)
        return Estimate(x / (1 + level**2))

    run((operator, data, operator.adjoint(data)[None]), SCHEDULE, 4, denoiser)
    assert set(seen) == {(1, *shape)}


def test_the_first_steps_see_the_coarse_resolution_at_levels_of_its_scale(problem):
    seen = []

    def denoiser(x, level):
        seen.append((x.shape[-2:], level, float(np.abs(x).std())))
        return gaussian_denoiser(x, level)

    run(problem, SCHEDULE, 4, denoiser)
    assert [shape for shape, *_ in seen] == [COARSE[1:]] * 4 + [SHAPE[1:]] * 5
    told = [level for _, level, _ in seen]
    np.testing.assert_allclose(told[:4], np.array(SCHEDULE[:4]) / GROWTH)
    np.testing.assert_allclose(told[4:], SCHEDULE[4:])


def test_physical_units_scale_through(problem):
    operator, data, start = problem
    image = run(problem, SCHEDULE, 4).image
    louder = nila_coarse_to_fine(
        gaussian_denoiser,
        operator,
        37 * data,
        SCHEDULE,
        4,
        start=37 * start,
        sigma=37 * SIGMA,
        scale=37.0,
        generator=np.random.default_rng(0),
        solver=SolverSettings(tolerance=1e-8, max_iterations=50),
    ).image
    np.testing.assert_allclose(louder, 37 * image, rtol=1e-6, atol=1e-6)


def test_elements_of_a_batch_are_as_alone(problem):
    operator, data, start = problem
    stacked = SenseOperator.stacked([operator, operator])
    together = nila_coarse_to_fine(
        gaussian_denoiser,
        stacked,
        np.stack([data, 2 * data]),
        SCHEDULE,
        4,
        start=np.concatenate([start, 2 * start]),
        sigma=[SIGMA, 2 * SIGMA],
        scale=[1.0, 2.0],
        generator=[np.random.default_rng(0), np.random.default_rng(0)],
        solver=SolverSettings(tolerance=1e-8, max_iterations=50),
    )
    alone = run(problem, SCHEDULE, 4)
    np.testing.assert_allclose(together.image[0], alone.image[0], rtol=1e-9)
    np.testing.assert_allclose(together.image[1], 2 * alone.image[0], rtol=1e-9)
    assert together.n_iterations == 2 * alone.n_iterations


@pytest.mark.parametrize("n_coarse", [-1, 9, 12])
def test_one_step_at_least_is_fine(problem, n_coarse):
    with pytest.raises(ValueError, match="of 9 steps from 0 to 8 can be coarse"):
        run(problem, SCHEDULE, n_coarse)


def test_undersampled_coils():
    """Aliases are resolved at half the resolution as well: an image of low frequencies comes back from every second line."""
    rng = np.random.default_rng(0)
    y, x = (np.linspace(-1, 1, n) for n in SHAPE[1:])
    truth = (np.exp(-4 * (y[:, None] ** 2 + x**2)) + 0j)[None]
    sources = [(1.5, 0.0), (-1.5, 0.0), (0.0, 1.5), (0.0, -1.5)]
    maps = np.stack([1 / (0.5 + (y[:, None] - a) ** 2 + (x - b) ** 2) for a, b in sources])[:, None] + 0j
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    counts = np.zeros(SHAPE)
    counts[:, ::2] = 1
    operator = SenseOperator(maps, counts)
    data = operator.forward(truth) + 0.01 * operator.data(complex_normal(rng, maps.shape, maps))
    start = operator.adjoint(data)[None]
    errors = {}
    for name, n_coarse in {"fine": 0, "coarse": 4}.items():
        image = nila_coarse_to_fine(
            lambda v, level: Estimate(v / (1 + level**2)),
            operator,
            data,
            SCHEDULE,
            n_coarse,
            start=start,
            sigma=0.01,
            scale=1.0,
            generator=np.random.default_rng(0),
        ).image[0]
        errors[name] = np.linalg.norm(image - truth) / np.linalg.norm(truth)
    aliased = np.linalg.norm(start[0] - truth) / np.linalg.norm(truth)
    assert errors["coarse"] < 1.1 * errors["fine"] < 0.2 * aliased


def test_measurements_are_renewed_at_the_full_resolution(problem):
    operator, data, start = problem
    shapes = []

    def keep(level, estimate):
        shapes.append((level, estimate.shape))

    nila_coarse_to_fine(
        gaussian_denoiser,
        operator,
        data,
        SCHEDULE,
        4,
        start=start,
        sigma=SIGMA,
        scale=1.0,
        generator=np.random.default_rng(0),
        renewal=keep,
    )
    assert shapes == [(level, (1, *SHAPE)) for level in SCHEDULE[4:]]
