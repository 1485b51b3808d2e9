import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.heaps import Heaps

VALUES = [b"x" * n for n in (1, 7, 8, 9, 300, 5000)]


@pytest.fixture
def written(tmp_path):
    """The content of a file with values of these lengths, and the addresses and indices of the values."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        texts = file.create_dataset("a", data=np.array(VALUES, object), dtype=h5py.string_dtype())
        place = texts.id.get_offset()
    content = bytearray(path.read_bytes())
    kind = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
    return content, np.frombuffer(content[place : place + len(VALUES) * kind.itemsize], kind)


@pytest.fixture
def heaps(tmp_path):
    """The heaps of a content, in a file that is open until the test ends."""
    with (tmp_path / "changed.h5").open("w+b") as file:

        def write(content, base=0):
            file.write(bytes(base) + bytes(content))
            file.flush()
            return Heaps(file.fileno(), base, 8)

        yield write


@pytest.mark.parametrize("base", [0, 512])
def test_objects_are_as_long_as_what_was_written(written, heaps, base):
    content, values = written
    found = heaps(content, base)
    assert [found.sizes(int(one["address"]))[int(one["index"])] for one in values] == [len(one) for one in VALUES]


@pytest.mark.parametrize(
    ("place", "number", "n_bytes"),
    [
        (0, 0, 4),  # the signature
        (8, 1 << 40, 8),  # the size of the heap
        (24, 1 << 40, 8),  # that of its first object
        (24, (1 << 64) - 16, 8),  # after which the next one would be the same again
    ],
)
def test_a_damaged_heap_is_refused(written, heaps, place, number, n_bytes):
    content, values = written
    address = int(values["address"][0])
    content[address + place : address + place + n_bytes] = number.to_bytes(n_bytes, "little")
    with pytest.raises(InputError, match=f"the heap at {address} is damaged"):
        heaps(content).sizes(address)


def test_a_rest_of_no_bytes_has_an_end(written, heaps):
    content, values = written
    address = int(values["address"][0])
    content[address + 16 : address + 32] = bytes(16)  # index and size of the first object
    with pytest.raises(InputError, match="is damaged"):
        heaps(content).sizes(address)


@pytest.mark.parametrize("address", [0, 1 << 40, (1 << 64) - 1])
def test_where_there_is_no_heap(written, heaps, address):
    with pytest.raises(InputError, match="is damaged"):
        heaps(written[0]).sizes(address)
