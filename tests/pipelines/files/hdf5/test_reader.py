import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.reader import MOST_OBJECTS, open_hdf5


@pytest.fixture
def written(tmp_path):
    def write(change, **options):
        with h5py.File(tmp_path / "a.h5", "w", **options) as file:
            change(file)
        return tmp_path / "a.h5"

    return write


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        open_hdf5(path)
    assert str(caught.value).isprintable()


def test_what_files_of_images_and_scans_have_is_taken(written):
    def fill(file):
        file["a/numbers"] = np.arange(1000.0)
        file["a/texts"] = ["x", "y"]
        file["a/one"], file["a/none"] = 3, h5py.Empty("f4")
        file.create_dataset("a/rows", (0, 8), "f4", maxshape=(None, 8), chunks=(1, 8))
        file.create_dataset(
            "a/parts", (3,), [("head", [("n", "u2"), ("x", "f4", (3,))]), ("data", h5py.vlen_dtype("f4"))]
        )
        file.create_dataset("a/small", (1000, 1000), "u1", chunks=(100, 100))  # never written: less than 16 MB
        file["b"], file["c"] = file["a"], h5py.SoftLink("/a/numbers")
        file["a/kind"] = np.dtype("f8")

    with open_hdf5(written(fill)) as file:
        assert file["c"].shape == (1000,)
        assert len(file["b"]) == 8


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_links_to_other_files_are_refused(written, tmp_path, libver):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    path = written(lambda file: file.update({"deep/er/there": h5py.ExternalLink("other.h5", "x")}), libver=libver)
    refused(path, "/deep/er/there is a link to another file")


def test_links_that_lead_nowhere_are_refused(written):
    refused(written(lambda file: file.update({"a": h5py.SoftLink("/b")})), "the link 'a' leads nowhere")


def test_names_are_shown_as_text(written):
    path = written(lambda file: file.create_group("a").update({b"x\xff": h5py.ExternalLink("o.h5", "x")}))
    with pytest.raises(InputError, match="is a link to another file"):
        open_hdf5(path)


@pytest.mark.parametrize("levels", [8, 9])
def test_types_within_types_are_counted(written, levels):
    kind = np.dtype("f4")
    for _ in range(levels):
        kind = np.dtype([("a", kind)])
    path = written(lambda file: file.update({"a": np.zeros(2, kind)}))
    if levels == 8:
        open_hdf5(path).close()
    else:
        refused(path, "more than 8 levels")


@pytest.mark.parametrize("kind", [h5py.ref_dtype, h5py.vlen_dtype(h5py.regionref_dtype)])
def test_references_are_refused(written, kind):
    refused(written(lambda file: file.create_dataset("a", (3,), kind)), "holds references in place of numbers")


def test_a_size_needs_evidence(written):
    large = {"shape": (1 << 30,), "dtype": "u1", "chunks": (1 << 20,)}
    refused(
        written(lambda file: file.create_dataset("a", **large)), "claims 1073741824 bytes, of which 0 were ever written"
    )

    def fill_one(file):
        file.create_dataset("a", **large, compression="gzip")[: 1 << 20] = 1

    refused(written(fill_one), "were ever written")
    measured = np.random.default_rng(1).integers(0, 4, (18 << 20,), dtype=np.uint8)
    open_hdf5(written(lambda file: file.create_dataset("a", data=measured, compression="gzip"))).close()


def test_too_many_objects_are_refused(written, monkeypatch):
    monkeypatch.setattr("nilatron.pipelines.files.hdf5.reader.MOST_OBJECTS", 50)
    assert MOST_OBJECTS > 1000
    refused(written(lambda file: [file.create_group(str(n)) for n in range(60)]), "holds more than 50")
    refused(written(lambda file: file.create_group("/".join(["a"] * 60))), "holds more than 50")


def test_groups_in_a_circle_are_looked_at_once(written):
    def fill(file):
        file["a/b/c"] = 1
        file["a/b/a"] = file["a"]

    open_hdf5(written(fill)).close()
