import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.stream.formats import Format, format_of, format_of_file


@pytest.mark.parametrize(
    ("begin", "found"),
    [
        (b"yardl", Format.MRD2),
        (b"\x89HDF\r", Format.HDF5),
        (b"\x03\x00\x10\x00\x00", Format.MRD1),
        (b"\x01\x00def", Format.MRD1),
        (b"\xf0\x03\x01\x00\x00", Format.MRD1),
    ],
)
def test_formats_are_told_by_their_first_bytes(begin, found, tmp_path):
    assert format_of(begin, "x") is found
    (tmp_path / "file").write_bytes(begin + b"more")
    assert format_of_file(tmp_path / "file") is found


@pytest.mark.parametrize("begin", [b"", b"\x03", b"hello", b"\x00\x00\x00\x00\x00"])
def test_other_bytes_are_told(begin, tmp_path):
    with pytest.raises(InputError, match=r"x: neither an MRD v1 nor an MRD v2 stream: it (is empty|begins with)"):
        format_of(begin, "x")
    (tmp_path / "file").write_bytes(begin)
    assert format_of_file(tmp_path / "file") is None
    assert format_of_file(tmp_path / "missing") is None
