import numpy as np
import pytest
import torch

from nilatron.core import backend

RNG = np.random.default_rng(0)


def test_conversions_keep_values_and_kind():
    array = (RNG.standard_normal((3, 4)) + 1j).astype(np.complex64)
    tensor = backend.to_torch(array)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.complex64
    np.testing.assert_array_equal(backend.to_numpy(tensor), array)
    assert isinstance(backend.converted_to(array, tensor), torch.Tensor)
    assert isinstance(backend.converted_to(tensor, array), np.ndarray)


def test_to_torch_shares_memory_and_spares_read_only_arrays():
    array = np.zeros(3, np.float32)
    backend.to_torch(array)[0] = 1
    assert array[0] == 1
    array.flags.writeable = False
    backend.to_torch(array)[1] = 1
    assert array[1] == 0


def test_mixed_libraries_are_refused():
    with pytest.raises(TypeError):
        backend.namespace(np.zeros(1), torch.zeros(1))


def test_complex_normal_has_unit_variance_and_is_the_same_everywhere():
    as_numpy = backend.complex_normal(np.random.default_rng(1), (100, 200), np.zeros(1, np.complex64))
    as_torch = backend.complex_normal(np.random.default_rng(1), (100, 200), torch.zeros(1, dtype=torch.complex64))
    assert as_numpy.dtype == np.complex64
    np.testing.assert_array_equal(as_numpy, as_torch.numpy())
    assert np.mean(np.abs(as_numpy) ** 2) == pytest.approx(1, abs=0.03)
    assert abs(np.mean(as_numpy**2)) < 0.03  # circular


@pytest.mark.parametrize("percent", [0, 12.5, 50, 99.5, 100])
def test_percentile_is_numpys(percent):
    values = RNG.standard_normal((7, 11))
    assert backend.percentile(values, percent) == pytest.approx(np.percentile(values, percent))
    assert backend.percentile(torch.from_numpy(values), percent) == pytest.approx(np.percentile(values, percent))


def test_percentile_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        backend.percentile(np.zeros(0), 50)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_squared_norm_and_real_dtype(kind):
    array = kind(np.array([3 + 4j, 1j], np.complex64))
    assert backend.squared_norm(array) == 26
    assert backend.squared_norm(kind(np.array([1.0, 2.0]))) == 5
    assert "float32" in str(backend.real_dtype(array))


def test_a_tensor_that_is_conjugated_lazily_comes_as_it_is():
    x = torch.tensor([1 + 2j, 3 - 1j])
    np.testing.assert_array_equal(backend.to_numpy(x.conj()), [1 - 2j, 3 + 1j])
    np.testing.assert_array_equal(backend.to_numpy(x.conj().imag), [-2, 1])
