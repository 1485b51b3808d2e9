"""Raw files as other writers lay them out."""

import h5py
import numpy as np
import pytest


def copy_fields(source, target):
    """Copy structured arrays by name, arrays of unequal length as far as both go."""
    for name in set(source.dtype.names) & set(target.dtype.names):
        if target.dtype[name].names and source.dtype[name].names:
            copy_fields(source[name], target[name])
        elif target.dtype[name].base.kind in "iufb":
            wide, old = (part[name].reshape(len(part), -1) for part in (target, source))
            n = min(wide.shape[1], old.shape[1])
            wide[:, :n] = old[:, :n]


def rewrite(path, head=None, samples=None, trajectory=None, shape=None, **options):
    """Write the lines of a raw file in another layout.

    `head` is the dtype of the new heads; `samples` the dtype of one sample and a function from the stored floats to
    values of it; `trajectory` a function from the number of samples to the values of one line; `shape` that of the table.
    """
    with h5py.File(path, "r+") as file:
        old = file["dataset/data"][()].reshape(-1)
        sample_dtype, convert = samples or (np.float32, lambda floats: floats)
        field = sample_dtype if np.dtype(sample_dtype).shape else h5py.vlen_dtype(sample_dtype)
        kinds = [("head", head or old.dtype["head"]), ("traj", h5py.vlen_dtype(np.float32)), ("data", field)]
        rows = np.zeros(len(old), kinds)
        copy_fields(old["head"], rows["head"])
        for i, row in enumerate(old):
            rows["data"][i] = convert(row["data"])
            n_samples = int(row["head"]["number_of_samples"])
            rows["traj"][i] = np.zeros(0, np.float32) if trajectory is None else trajectory(n_samples)
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=rows.reshape(shape or rows.shape), **options)


@pytest.fixture(name="copy_fields")
def copy_fields_fixture():
    return copy_fields


@pytest.fixture(name="rewrite")
def rewrite_fixture():
    return rewrite


def fields(dtype, **changes):
    """A head with other types for some fields; None takes one away."""
    kinds = [(name, changes.get(name, dtype[name])) for name in dtype.names]
    return np.dtype([kind for kind in kinds if kind[1] is not None])


@pytest.fixture(name="fields")
def fields_fixture():
    return fields
