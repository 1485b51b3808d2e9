import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.samples import line_samples, line_trajectory

VALUES = (np.arange(6) - 2.5 + 1j * np.arange(6)[::-1]).reshape(2, 3).astype(np.complex64)


def compound(real, imag, kind="f4", *, imaginary_first=False):
    fields = [(real, kind), (imag, kind)]
    stored = np.zeros(6, fields[::-1] if imaginary_first else fields)
    stored[real], stored[imag] = VALUES.real.ravel(), VALUES.imag.ravel()
    return stored


STORED = {
    "real and imaginary part in turn": VALUES.ravel().view(np.float32),
    "doubles in turn": VALUES.ravel().view(np.float32).astype(np.float64),
    "big-endian": VALUES.ravel().view(np.float32).astype(">f4"),
    "complex64": VALUES.ravel(),
    "complex128": VALUES.ravel().astype(np.complex128),
    "complex, coils apart": VALUES,
    "(r, i)": compound("r", "i"),
    "(real, imag)": compound("real", "imag"),
    "(re, im), doubles": compound("re", "im", "f8"),
    "(Real, Imaginary), big-endian": compound("Real", "Imaginary", ">f4"),
    "the imaginary part first": compound("real", "imag", imaginary_first=True),
}


@pytest.mark.parametrize("kind", STORED)
def test_samples_of_any_type(kind):
    """MagneticParticleImaging/MDF#70: (real, imag) by Octave, (r, i) by h5py, (re, imaginary) by the HDF5 guide."""
    found = line_samples(STORED[kind], (2, 3), "line 7")
    assert found.dtype == np.complex64
    assert np.array_equal(found, VALUES)


@pytest.mark.parametrize("kind", ["i2", "u1", "f2"])
def test_integers_count_as_they_are(kind):
    stored = np.arange(12).astype(kind)
    assert np.array_equal(line_samples(stored, (2, 3), "line 7").ravel(), stored[::2] + 1j * stored[1::2].astype(float))
    pairs = np.zeros(6, [("real", kind), ("imag", kind)])
    pairs["real"], pairs["imag"] = stored[::2], stored[1::2]
    assert np.array_equal(line_samples(pairs, (2, 3), "line 7"), line_samples(stored, (2, 3), "line 7"))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros(11), "line 7 has 5.5 complex samples, its header announces 2 channels of 3"),
        (np.zeros(7, np.complex64), "line 7 has 7 complex samples"),
        (np.zeros(6, [("x", "f4"), ("y", "f4")]), r"line 7 has samples of type .*'x'.*; expected numbers, or real and"),
        (np.array([b"1+2j"] * 6), "line 7 has samples of type"),
        (np.array(["1"] * 12, dtype=object), "line 7 has samples of type object"),
    ],
)
def test_what_are_no_samples(stored, message):
    with pytest.raises(InputError, match=message):
        line_samples(stored, (2, 3), "line 7")


@pytest.mark.parametrize("kind", ["f4", "f8", "i2", ">f4"])
@pytest.mark.parametrize("announced", [0, 2])
def test_a_trajectory_of_any_type(kind, announced):
    found = line_trajectory(np.arange(8).astype(kind), 4, announced)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("stored", "n_samples", "announced"),
    [
        (np.zeros(0), 4, 2),
        (np.zeros(7), 4, 2),
        (np.zeros(7), 4, 0),
        (np.zeros(8), 4, 3),
        (np.zeros(8), 0, 2),
        (b"no", 1, 1),
    ],
)
def test_a_trajectory_of_another_length_is_none(stored, n_samples, announced):
    assert line_trajectory(stored, n_samples, announced) is None
