import errno
import io

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from nilatron.pipelines.files.disk import is_disk_error, npy_bytes, reason_of, tensors_written


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (PermissionError(errno.EACCES, "x"), True),
        (OSError("of a library"), False),
        (FileNotFoundError(errno.ENOENT, "x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_a_disk_error_is(error, is_one):
    assert is_disk_error(error) is is_one


def test_the_reason_is_that_of_the_system():
    assert reason_of(OSError(errno.ENOSPC, "whatever")) == "No space left on device"
    assert reason_of(OSError("of a library")) == "of a library"


def test_the_reason_is_found_below_the_words_of_a_library():
    def wrap():
        try:
            raise OSError(errno.ENOSPC, "whatever")
        except OSError as error:
            raise OSError(f"in tag 7: {error}") from error

    with pytest.raises(OSError, match="in tag 7") as raised:
        wrap()
    assert reason_of(raised.value) == "No space left on device"


def test_tensors_on_a_full_disk(tmp_path, small_disk):
    path = tmp_path / "a.safetensors"
    with small_disk(1000), pytest.raises(OSError, match="File too large") as raised, tensors_written(path):
        save_file({"a": np.zeros(10_000)}, path)
    assert raised.value.errno == errno.EFBIG


def test_other_failures_of_tensors_stay_what_they_are(tmp_path):
    def fail():
        raise SafetensorError("no number in it")

    with pytest.raises(SafetensorError), tensors_written(tmp_path / "a"):
        fail()


def test_an_npy_file_in_memory():
    array = np.arange(6).reshape(2, 3) * 1j
    np.testing.assert_array_equal(np.load(io.BytesIO(npy_bytes(array))), array)
