"""Functions that work alike on NumPy, CuPy and torch arrays.

`core` computes with the library of its input arrays (their array-API namespace, by array-api-compat) and never converts
between libraries on its own; the conversions here are for the border between the classical stages and the network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import array_api_compat as aac
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # takes seconds to import; array_api_compat does not import it either
    import torch

Array: TypeAlias = Any  # a NumPy, CuPy or torch array; every function returns the kind that it was given
ComplexArray: TypeAlias = npt.NDArray[np.complex64]
FloatArray: TypeAlias = npt.NDArray[np.float32]
Namespace: TypeAlias = Any


def namespace(*arrays: Array) -> Namespace:
    """Array-API namespace common to `arrays`.

    Raises
    ------
    TypeError
        When the arrays belong to different libraries.
    """
    return aac.array_namespace(*arrays)


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """Copy to host memory if the array is not there already."""
    if aac.is_torch_array(array):
        return array.detach().resolve_conj().resolve_neg().cpu().numpy()  # type: ignore[no-any-return]
    if aac.is_cupy_array(array):
        return array.get()  # type: ignore[no-any-return]
    return np.asarray(array)


def to_torch(array: Array) -> torch.Tensor:
    """View as a torch tensor on the same device, without a copy where the memory allows it (DLPack)."""
    import torch

    if isinstance(array, torch.Tensor):
        return array
    if isinstance(array, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(array) if array.flags.writeable else array.copy())
    return torch.utils.dlpack.from_dlpack(array)


def converted_to(array: Array, reference: Array) -> Array:
    """Convert `array` to the library and device of `reference`."""
    if aac.is_torch_array(reference):
        return to_torch(array).to(reference.device)
    if aac.is_cupy_array(reference):
        xp = namespace(reference)
        return xp.from_dlpack(array) if aac.is_torch_array(array) else xp.asarray(array)
    return to_numpy(array)


def on_host(array: Array) -> bool:
    """Whether the array lies in host memory, where reading a value does not wait for a GPU."""
    if aac.is_torch_array(array):
        return bool(array.device.type == "cpu")
    return not aac.is_cupy_array(array)


def synchronize(array: Array) -> None:
    """Wait until the device of `array` has finished all its work; returns at once for an array in host memory."""
    if on_host(array):
        return
    if aac.is_torch_array(array):
        import torch

        torch.cuda.synchronize(array.device)
    else:
        array.device.synchronize()


def complex_normal(generator: np.random.Generator, shape: tuple[int, ...], reference: Array) -> Array:
    """Complex white noise, E|n|^2 = 1, in the library and precision of `reference`.

    Arrays in host memory get the same numbers in every library. A GPU uses its own generator, whose seed `generator` draws.
    """
    if not on_host(reference):
        return _normal_on_gpu(int(generator.integers(2**63)), shape, reference)
    noise = (generator.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))).view(np.complex64)
    xp = namespace(reference)
    return xp.astype(converted_to(noise[..., 0], reference), reference.dtype, copy=False)


def _normal_on_gpu(seed: int, shape: tuple[int, ...], reference: Array) -> Array:
    xp = namespace(reference)
    if aac.is_torch_array(reference):
        generator = xp.Generator(device=reference.device).manual_seed(seed)
        return xp.randn(shape, generator=generator, dtype=reference.dtype, device=reference.device)
    import cupy

    source = cupy.random.default_rng(seed)
    parts = source.standard_normal((*shape, 2), dtype=real_dtype(reference)) * math.sqrt(0.5)
    return parts.view(reference.dtype)[..., 0]


def real_dtype(array: Array) -> Any:
    """Real data type of the same precision as a complex array."""
    xp = namespace(array)
    return xp.float64 if array.dtype in (xp.complex128, xp.float64) else xp.float32


def squared_norm(array: Array) -> float:
    """Sum of |x|^2 over all elements, in double precision."""
    xp = namespace(array)
    if not xp.isdtype(array.dtype, "complex floating"):  # torch has no imaginary part of real arrays
        return float(xp.sum(array**2, dtype=xp.float64))
    return float(xp.sum(xp.real(array) ** 2 + xp.imag(array) ** 2, dtype=xp.float64))


def percentile(array: Array, percent: float) -> float:
    """Percentile of a real array, by linear interpolation."""
    xp = namespace(array)
    ordered = xp.sort(xp.reshape(array, (-1,)))
    n = int(ordered.shape[0])
    if n == 0:
        raise ValueError("the percentile of an empty array is not defined")
    position = percent / 100 * (n - 1)
    low = int(position)
    high = min(low + 1, n - 1)
    below, above = float(ordered[low]), float(ordered[high])
    return below + (position - low) * (above - below)
