"""`nilatron simulate`, and simulations that cannot be."""

import pytest


@pytest.mark.slow
def test_simulate_writes_a_scan_that_replays(command, folder, one_line):
    words = ("simulate", folder / "raw.h5", "--matrix", "24,20", "--coils", "2", "--acceleration", "1")
    code, out, _ = command(*words)
    assert code == 0
    assert out.startswith("36 lines to ")
    code, _, err = command(*words)
    assert code == 2
    assert "--overwrite" in one_line(err)
    assert command(*words, "--overwrite")[0] == 0
    assert command("replay", folder / "raw.h5", "-o", folder / "out.h5", "-c", "cg_sense")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--matrix", "24"), "--matrix expects two or three positive numbers"),
        (("--matrix", "24,0"), "--matrix expects"),
        (("--partial-fourier", "0.4"), "partial_fourier must be above 0.5"),
        (("--image", "absent.png"), "absent.png: is not an image"),
    ],
)
def test_simulations_that_cannot_be(command, folder, words, message, one_line):
    code, _, err = command("simulate", folder / "raw.h5", *words)
    assert code == 2
    assert message in one_line(err)
    assert list(folder.iterdir()) == []
