"""Scans as scanners and converters write them, by the kind of fault that they have led to elsewhere.

The threads that reported them are named where the situations are made (`benchmarks/situations`, `source`).
"""

import numpy as np
import pytest

from odd_scans import images_of, psnr, verdict
from situations.scan import SITUATIONS, plain, write

pytestmark = pytest.mark.slow  # each is a whole replay


def of_kind(kind):
    found = [name for name, situation in SITUATIONS.items() if situation.kind == kind]
    return pytest.mark.parametrize("name", found)


@pytest.fixture(scope="session")
def controls():
    """PSNR of the plain scans, by their settings; filled as they are asked for."""
    return {}


@pytest.fixture
def judged(command, controls, folder):
    """Reconstruct a situation with CG-SENSE and say how it ended; the control is the plain scan."""

    def replayed(scan):
        raw, out = folder / "raw.h5", folder / "out.h5"
        out.unlink(missing_ok=True)
        write(raw, scan)
        noise = ("--noise", folder / "raw_noise.h5") if scan.noise else ()
        code, _, err = command("replay", raw, "-o", out, "-G", "images", "-c", "cg_sense", *noise)
        images = images_of(out)
        if len(images) != len(scan.truth):
            return code, [np.nan], err
        return code, [psnr(*pair) for pair in zip(images, scan.truth, strict=True)], err

    def judge(name):
        situation = SITUATIONS[name]
        if situation.settings not in controls:
            controls[situation.settings] = replayed(plain(situation.settings))
        _, expected, _ = controls[situation.settings]
        scan = plain(situation.settings)
        situation.edit(scan)
        code, found, err = replayed(scan)
        repeated = expected * (len(scan.truth) // len(expected))
        losses = [control - own for control, own in zip(repeated, found, strict=False)]
        worst = losses[int(np.argmax(np.nan_to_num(losses, nan=np.inf)))]
        return verdict(situation, worst, code), f"{worst:.1f} dB below its control, exit code {code}: {err}"

    return judge


@pytest.mark.row("F2.38")
@of_kind("K1")
def test_what_a_measurement_is_decides_how_it_is_reconstructed(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.39")
@of_kind("K2")
def test_what_a_line_is_follows_from_its_head_and_the_other_lines(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.40")
@of_kind("K3")
def test_an_image_ends_when_all_evidence_says_so(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.41")
@of_kind("K4")
def test_calibration_reaches_the_images_that_it_is_for(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.42")
@of_kind("K5")
def test_what_no_image_needs_stops_no_scan(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.43")
@of_kind("K6")
def test_numbers_of_the_header_that_lines_contradict_are_weighed(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.44")
@of_kind("K8")
def test_what_a_header_may_leave_out_is_filled_in(judged, name):
    found, why = judged(name)
    assert found == "ok", why


@pytest.mark.row("F2.45")
@of_kind("K9")
def test_noise_is_that_of_the_scan_and_its_channels(judged, name):
    found, why = judged(name)
    assert found == "ok", why
