"""`nilatron simulate`, and simulations that cannot be."""

import numpy as np
import pytest

from nilatron.core.fft import fft, ifft
from nilatron.pipelines.files.raw import open_raw


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


def test_truth_coil_maps_and_geometry(command, folder, one_line):
    truth, maps = folder / "truth.npy", folder / "maps.npy"
    words = ("simulate", folder / "raw.h5", "--matrix", "24,20", "--coils", "3", "--slices", "2", "--noise", "0")
    words += (
        "--acceleration",
        "1",
        "--truth",
        truth,
        "--coil-maps",
        maps,
        "--angles",
        "0",
        "0",
        "30",
        "--centre",
        "1",
        "2",
        "-3",
    )
    assert command(*words)[0] == 0
    image, sensitivity = np.load(truth), np.load(maps)
    assert (image.shape, sensitivity.shape) == ((2, 1, 20, 24), (2, 3, 1, 20, 24))
    np.testing.assert_allclose((abs(sensitivity) ** 2).sum(axis=1), 1, rtol=1e-5)
    with open_raw(folder / "raw.h5") as raw:
        lines = [item for item in raw.items() if item.idx.slice == 1]
    kspace = np.stack([line.data for line in sorted(lines, key=lambda line: line.idx.kspace_encode_step_1)], axis=1)
    expected = fft(np.pad(sensitivity[1, :, 0] * image[1, 0], ((0, 0), (0, 0), (12, 12))), axes=(-2, -1))
    inner = abs(ifft(kspace, axes=(-2, -1)) - ifft(expected, axes=(-2, -1)))[:, :, 12:36]
    assert inner.max() < 1e-5
    np.testing.assert_allclose(lines[0].read_dir[:], (np.cos(np.pi / 6), 0.5, 0), atol=1e-6)
    np.testing.assert_allclose(lines[0].position[:], (1, 2, -0.5), atol=1e-6)
    code, _, err = command(*words[:2], *words[10:])
    assert (code, "exists" in one_line(err)) == (2, True)


def test_nothing_of_it_is_written_on_a_full_disk(command, folder, one_line, small_disk):
    words = ("--matrix", "32,24", "--coils", "8", "--truth", folder / "truth.npy")
    with small_disk(180_000):
        code, _, err = command("simulate", folder / "raw.h5", *words)
    assert code == 3
    assert one_line(err) == f"nilatron: {folder / 'raw.h5'}: File too large; nothing was written"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--matrix", "24"), "--matrix expects two or three positive numbers"),
        (("--matrix", "24,0"), "--matrix expects"),
        (("--partial-fourier", "0.4"), "partial_fourier must be above 0.5"),
        (("--acceleration", "300"), "acceleration must be at most 64, which leaves 4 of 256 lines, got 300"),
        (("--coils", "2000"), "n_coils must be at most 1024"),
        (("--truth", "truth.png"), "expected a file name that ends in .npy"),
        (("--image", "absent.png"), "absent.png: is not an image"),
    ],
)
def test_simulations_that_cannot_be(command, folder, words, message, one_line):
    code, _, err = command("simulate", folder / "raw.h5", *words)
    assert code == 2
    assert message in one_line(err)
    assert list(folder.iterdir()) == []
