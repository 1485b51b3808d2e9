"""Cases: the file gives back what went in; the simulated one has the noise that it says."""

import numpy as np
import pytest

from nilatron.core.backend import percentile
from peers.case import Case, load_case
from peers.cases import simulated, sources
from peers.maps import map_error


def small_case():
    generator = np.random.default_rng(0)
    maps = (generator.standard_normal((2, 1, 8, 8)) + 1j * generator.standard_normal((2, 1, 8, 8))).astype(np.complex64)
    reference = np.ones((1, 8, 8), np.complex64)
    return Case(maps, np.ones((1, 8, 8), np.float32), maps[:, :, 2:6], maps, reference)


def test_a_case_survives_its_file(tmp_path):
    case = small_case()
    case.save(tmp_path / "case.npz")
    for name, value in vars(load_case(tmp_path / "case.npz")).items():
        np.testing.assert_array_equal(value, getattr(case, name))


def test_map_error_ignores_the_common_phase_of_a_pixel():
    case = small_case()
    turned = case.maps * np.exp(1j * np.linspace(0, 6, 64)).reshape(1, 1, 8, 8)
    assert map_error(turned.astype(np.complex64), case) < 1e-6
    assert map_error(1.1 * case.maps, case) == pytest.approx(0.1, rel=1e-5)


def test_without_data_only_simulated_cases():
    assert {source.name for source in sources(None)} == {"simulated0.03", "simulated0.1"}


@pytest.mark.slow
def test_simulated_noise_is_that_of_the_image_scale():
    case = simulated(0.1)
    assert percentile(np.abs(case.reference), 99.5) == pytest.approx(10, rel=1e-3)
    assert case.maps.shape == (16, 1, 256, 256)
    outermost = np.concatenate([case.kspace[:, :, :16], case.kspace[:, :, -16:]], axis=2)  # nearly no signal
    noise = outermost[outermost != 0]
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1, abs=0.05)
