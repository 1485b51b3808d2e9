import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid, sample_positions, unevenness

LOBES = [
    Trapezoid(60, 200, 60),
    Trapezoid(40, 200, 90),
    Trapezoid(0, 200, 60),
    Trapezoid(60, 0, 60),
    Trapezoid(60, 90, 0),
]


@pytest.mark.parametrize("lobe", LOBES)
def test_the_area_is_the_integral_of_the_gradient(lobe):
    t = np.linspace(-20, lobe.duration_us + 20, 40001)
    corners = np.cumsum([0, lobe.ramp_up_us + 1e-9, lobe.flat_top_us, lobe.ramp_down_us + 1e-9])
    gradient = np.interp(t, corners, [0, 1, 1, 0], left=0, right=0)
    integral = np.concatenate([[0], np.cumsum((gradient[1:] + gradient[:-1]) / 2 * np.diff(t))])
    np.testing.assert_allclose(lobe.area_until(t), integral, atol=0.02)
    assert lobe.area_until(np.array([1e9]))[0] == pytest.approx(lobe.area)


def test_positions_of_the_formula_of_a_symmetric_readout():
    up, flat, n = 60.0, 200.0, 192
    t = (np.arange(n) + 0.5) / n * (2 * up + flat)
    down = up / 2 + flat + (t - up - flat) - (t - up - flat) ** 2 / (2 * up)
    area = np.select([t < up, t < up + flat], [t**2 / (2 * up), t - up / 2], down)
    k = sample_positions(Trapezoid(up, flat, up), 0.0, (2 * up + flat) / n, n, n)
    np.testing.assert_allclose(k, n * (area / (up + flat) - 0.5), atol=1e-9)


@pytest.mark.parametrize("lobe", LOBES)
@pytest.mark.parametrize("delay", [0.0, 15.0])
def test_samples_cover_the_grid_and_dc_is_where_half_the_area_is_over(lobe, delay):
    n, columns = 64, 48
    dwell = (lobe.duration_us - 2 * delay) / n
    k = sample_positions(lobe, delay, dwell, n, columns)
    assert np.all(np.diff(k) > 0)
    area = np.diff(lobe.area_until(np.array([delay, delay + dwell * n])))
    middles = lobe.area_until(delay + dwell * (np.arange(n) + 0.5))
    assert (k[-1] - k[0]) / columns == pytest.approx((middles[-1] - middles[0]) / area[0])
    t_dc = np.interp(0.0, k, delay + dwell * (np.arange(n) + 0.5))
    assert lobe.area_until(np.array([t_dc]))[0] == pytest.approx(lobe.area / 2, rel=1e-3)


def test_the_other_half_of_a_symmetric_readout_mirrors_the_first():
    k = sample_positions(LOBES[0], 20.0, 280 / 64, 64, 48)
    np.testing.assert_allclose(k, -k[::-1], atol=1e-9)


def test_unevenness_of_equidistant_and_of_ramp_sampled_rows():
    assert unevenness(np.arange(30) * -0.7 + 3) == pytest.approx(0, abs=1e-9)
    assert unevenness(sample_positions(LOBES[0], 60.0, 200 / 64, 64, 48)) == pytest.approx(0, abs=1e-9)
    assert unevenness(sample_positions(LOBES[0], 0.0, 320 / 64, 64, 48)) > 2
