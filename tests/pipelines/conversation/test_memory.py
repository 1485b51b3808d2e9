from types import SimpleNamespace as Named

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.pipelines.conversation.memory import GIB, estimate, memory_bytes, refuse_above
from nilatron.pipelines.files.header import parse_header


def header(matrix=(512, 256, 1), recon_x=256, **limits):
    spaces = "".join(
        f"<{kind}><matrixSize><x>{x}</x><y>{matrix[1]}</y><z>{matrix[2]}</z></matrixSize><fieldOfView_mm><x>{x}</x><y>256</y>"
        f"<z>5</z></fieldOfView_mm></{kind}>"
        for kind, x in (("encodedSpace", matrix[0]), ("reconSpace", recon_x))
    )
    extents = "".join(
        f"<{name}><minimum>0</minimum><maximum>{last}</maximum><center>0</center></{name}>"
        for name, last in limits.items()
    )
    return parse_header(
        f"<ismrmrdHeader><encoding>{spaces}<encodingLimits>{extents}</encodingLimits><trajectory>cartesian</trajectory>"
        "</encoding></ismrmrdHeader>"
    )


def test_estimates_count_images_that_are_open_at_once_without_readout_oversampling():
    found = estimate(header(slice=9, contrast=1, repetition=99, average=3), 16)
    assert (found.n_images, found.shape) == (20, (16, 1, 256, 256))
    assert found.image_bytes == 16 * 256 * 256 * 8
    assert found.n_bytes == 28 * found.image_bytes
    assert "20 images of 16 x 1 x 256 x 256" in found.text


def test_the_largest_encoding_counts():
    two = header()
    two.encoding.append(header(matrix=(1024, 512, 64), recon_x=512).encoding[0])
    assert estimate(two, 2).shape == (2, 64, 512, 512)


@pytest.mark.parametrize(("limit_bytes", "fits"), [(GIB, True), (9_000_000, False)])
def test_the_first_line_decides(limit_bytes, fits):
    line = ismrmrd.Acquisition.from_array(np.zeros((2, 512), np.complex64))
    bucket = Named()
    stream = refuse_above(limit_bytes)([bucket, line, line], Context(header()))
    assert next(stream) is bucket
    if fits:
        assert list(stream) == [line, line]
    else:
        with pytest.raises(ScanError, match=r"needs about 0.00879 GiB .*may take; use a machine"):
            next(stream)


def test_this_machine_has_memory():
    assert GIB // 4 < memory_bytes() < 1 << 60
