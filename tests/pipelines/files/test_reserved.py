import errno
import os

import pytest

from nilatron.pipelines.files.reserved import ReservedFile


@pytest.fixture
def file(tmp_path):
    made = ReservedFile(tmp_path / "file")
    yield made
    made.close()


def read(file, position, n):
    buffer = bytearray(n)
    file.seek(position)
    assert file.readinto(buffer) == n
    return bytes(buffer)


def test_it_is_a_file(file):
    file.write(b"abcdef")
    file.seek(-2, os.SEEK_END)
    file.write(b"XY")
    assert (file.tell(), read(file, 2, 4)) == (6, b"cdXY")
    assert read(file, 4, 4) == b"XY\0\0"
    file.truncate(3)
    assert file.path.read_bytes() == b"abc"
    assert file.seek(0, os.SEEK_END) == 3


@pytest.mark.parametrize("how", ["by the system", "by writing"])
def test_room_is_there_or_it_is_not(file, small_disk, monkeypatch, how):
    if how == "by writing":
        monkeypatch.delattr("os.posix_fallocate")
    file.write(b"abc")
    with small_disk(100_000):
        file.reserve(90_000)
        with pytest.raises(OSError, match="File too large") as raised:
            file.reserve(150_000)
        assert raised.value.errno == errno.EFBIG
    assert file.seek(0, os.SEEK_END) == 3  # what is reserved is not in the file
    assert file.path.read_bytes() == b"abc"
    assert file.sound
    file.check()


def test_a_failed_write_is_kept_and_told_afterwards(file, small_disk):
    with small_disk(4):
        for content in (b"abc", b"defg"):
            assert file.write(content) == len(content)
        file.seek(3)
        file.write(b"D")
    assert not file.sound
    assert read(file, 1, 6) == b"bcDefg"
    with pytest.raises(OSError, match="File too large"):
        file.check()
    with pytest.raises(OSError, match="File too large"):
        file.reserve(1)


def test_an_existing_file_is_not_opened(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        ReservedFile(tmp_path / "file")
