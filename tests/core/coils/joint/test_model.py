import numpy as np
import pytest

from nilatron.core.backend import squared_norm, to_numpy, to_torch
from nilatron.core.coils.joint.model import JointModel
from nilatron.core.coils.window import Window
from nilatron.core.fft import fft

SETTINGS = (220 / 256**2, 36)
ALPHA = 0.05


def random(shape, seed=0):
    parts = np.random.default_rng(seed).standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def scan(shape=(1, 20, 18), every=2, n_coils=3):
    counts = np.zeros(shape, np.float32)
    counts[:, ::every] = 1
    counts[:, shape[1] // 2] = 3
    return random((n_coils, *shape)) * counts, counts


def model_of(kspace, counts, whole=(-3, -1), margin=0):
    return JointModel.of(Window.of(kspace, counts, (20, 20), margin, whole), *SETTINGS)


def estimate_of(model, seed=1):
    image, h = model.start(0.8)
    return image + 0.1 * random(image.shape, seed), h + random(h.shape, seed + 1)


def inner(a, b):
    return np.vdot(a, b)


@pytest.mark.parametrize("whole", [(-3, -1), (-3,), ()], ids=["lines", "slice", "volume"])
def test_decoding_and_analysis_are_adjoints(whole):
    model = model_of(*scan(), whole)
    images, samples = random((3, *model.grid)), random(model.data.shape, 1)
    assert inner(samples, model.encode(images)) == pytest.approx(inner(model.decode(samples), images), rel=1e-4)
    h = random((3, *model.smoothing.shape), 2)
    assert inner(images, model.maps(h)) == pytest.approx(inner(model.maps_adjoint(images), h), rel=1e-4)


def test_kspace_is_the_transform_of_maps_times_image():
    model = model_of(*scan((4, 20, 18)), (-1,))
    image, h = estimate_of(model)
    padded = np.zeros((3, *model.grid), np.complex64)
    inside = tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(model.grid, h.shape[1:], strict=True))
    padded[(slice(None), *inside)] = model.smoothing * h
    maps = np.fft.ifftn(np.fft.ifftshift(padded, axes=(1, 2, 3)), axes=(1, 2, 3), norm="ortho")
    expected = fft(np.fft.fftshift(maps * image, axes=(1, 2, 3)))
    np.testing.assert_allclose(model.kspace((image, h)), expected, atol=1e-4 * np.abs(expected).max())


def test_the_residual_is_what_the_samples_are_away_from_kspace():
    kspace, counts = scan()
    model = model_of(kspace, counts)
    estimate = estimate_of(model)
    away = kspace * model.scale - model.kspace(estimate)
    weights = counts / counts[counts > 0].mean()
    assert model.misfit(model.residual(estimate)) == pytest.approx(squared_norm(np.sqrt(weights) * away), rel=1e-4)


def test_lines_are_encoded_as_by_the_transform():
    kspace, counts = scan()
    model, other = model_of(kspace, counts), model_of(kspace, counts, ())
    assert model.data.shape[2] == np.count_nonzero(counts[0, :, 0]) < other.data.shape[2]
    estimate = estimate_of(model)
    found, expected = (
        m.step(estimate, m.start(0.8), m.residual(estimate), ALPHA, tolerance=1e-3, max_iterations=200)
        for m in (model, other)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3 * np.abs(b).max())


@pytest.mark.parametrize(("axes", "whole"), [((0, 1, 3, 2), (-3, -2)), ((0, 2, 1, 3), (-2, -1))], ids=["x", "z"])
def test_lines_may_lie_along_any_axis(axes, whole):
    kspace, counts = scan()
    of_counts = tuple(axis - 1 for axis in axes[1:])
    model = model_of(kspace, counts)
    turned = JointModel.of(
        Window.of(kspace.transpose(axes), counts.transpose(of_counts), (20, 20), 0, whole), *SETTINGS
    )
    estimate = estimate_of(model)
    found = turned.residual(tuple(part.transpose(axes) for part in estimate)).transpose(axes)
    np.testing.assert_allclose(found, model.residual(estimate), atol=1e-4 * np.abs(model.data).max())


def test_a_step_ends_where_the_linearised_sum_is_least():
    model = model_of(*scan())
    estimate, reference = estimate_of(model), model.start(0.8)
    residual = model.residual(estimate)
    image, h = estimate
    reached = model.step(estimate, reference, residual, ALPHA, tolerance=1e-4, max_iterations=500)

    def total(image_change, h_change):
        product = model.maps(model.smoothing * h) * image_change + model.maps(model.smoothing * h_change) * image
        away = (image + image_change - reference[0], h + h_change - reference[1])
        return model.misfit(residual - model.encode(product)) + ALPHA * sum(squared_norm(part) for part in away)

    change = (reached[0] - image, reached[1] - h)
    least = total(*change)
    assert least < 0.5 * total(0 * image, 0 * h)
    for seed in range(4):
        nudge = [0.1 * random(part.shape, seed) for part in change]
        up, down = (total(*(c + sign * n for c, n in zip(change, nudge, strict=True))) for sign in (1, -1))
        assert least < min(up, down)
        assert abs(up - down) < 0.02 * (up + down - 2 * least)


def test_smooth_maps_have_few_samples():
    model = model_of(*scan((1, 40, 8)))
    assert model.smoothing.shape == (1, 13, 8)
    assert model.smoothing[0, 6, 4] == model.smoothing.max() == 1


def test_tensors_step_where_arrays_do():
    kspace, counts = scan()
    model, other = model_of(kspace, counts), model_of(to_torch(kspace), to_torch(counts))
    estimate = estimate_of(model)
    given = tuple(to_torch(part) for part in estimate)
    expected = model.step(estimate, model.start(0.8), model.residual(estimate), 1.0, tolerance=0.1, max_iterations=9)
    found = other.step(given, other.start(0.8), other.residual(given), 1.0, tolerance=0.1, max_iterations=9)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), b, atol=1e-3 * np.abs(b).max())
