"""`nilatron import` as users see it."""

import numpy as np
import pytest


@pytest.fixture
def array(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "k.npy"
    np.save(path, (rng.standard_normal((2, 3, 16, 16)) + 1j * rng.standard_normal((2, 3, 16, 16))).astype(np.complex64))
    return path


def test_it_says_what_it_wrote_and_replay_takes_it(command, array, folder):
    words = ("import", array, "-o", folder / "raw.h5", "--order", "slice, coil,y,x", "--fov", "160,160,5")
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    assert out == f"32 lines to {folder / 'raw.h5'}: 2 slices, 3 coils\n"
    code, _, err = command(*words)
    assert code == 2
    assert "--overwrite" in err
    assert command(*words, "--overwrite", "--oversampling", 2, "--shape", "2,3,16,16")[0] == 0
    code, out, _ = command("replay", folder / "raw.h5", "-o", folder / "images.h5", "-c", "zero_filled")
    assert code == 0
    assert out.startswith("2 images")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "name its axes"),
        (("--order", "slice,coil,y,x"), "--fov X,Y,Z"),
        (("--order", "slice,coil,y,x", "--fov", "1,2"), "--fov expects three"),
        (("--order", "slice,coil,y,x", "--fov", "1,2,-3"), "--fov expects positive numbers"),
        (("--order", "slice,coil,y,x", "--shape", "2,x"), "--shape expects positive numbers"),
        (("--order", "slice,coil,y,x", "--fov", "1,2,3", "--shape", "2,3,16,8"), "expected the shape 2 x 3 x 16 x 8"),
        (("--order", "slice,coil,y,x", "--oversampling", "2"), "--oversampling goes with --fov"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_code_2(command, array, folder, one_line, options, told):
    code, out, err = command("import", array, "-o", folder / "raw.h5", *options)
    assert (code, out) == (2, "")
    assert told in one_line(err)
    assert list(folder.iterdir()) == []
