from dataclasses import replace

import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.misstated import misstatements
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(32, 48, 1), n_coils=2, acceleration=2, calibration_lines=12, noise_std=0.0)


def slice_of(settings, change=lambda _, lines: lines):
    header, lines = simulate_items(settings)
    lines = change(header, lines)
    (item,) = Accumulator()(iter(lines), Context(header))
    return item


def disc(item, share, level=20.0, noise=1.0):
    """An object that fills a share of the field of view along x, in noise."""
    _, n_z, n_y, n_x = item.kspace.shape
    y, x = np.meshgrid(np.arange(n_y) - n_y // 2, np.arange(n_x) - n_x // 2, indexing="ij")
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, n_z, n_y, n_x)) * noise / np.sqrt(2)
    return level * ((np.abs(x) < share * n_x / 2) & (np.abs(y) < n_y / 3)) + parts[0] + 1j * parts[1]


def numbered_as_they_came(header, lines):
    kept = [line for line in lines if line.idx.kspace_encode_step_1 % 2 == 0]
    for number, line in enumerate(kept):
        line.idx.kspace_encode_step_1 = number
    limit = header.encoding[0].encodingLimits.kspace_encoding_step_1
    limit.maximum, limit.center = len(kept) - 1, len(kept) // 2
    return kept


def test_lines_numbered_as_they_came_are_told():
    item = slice_of(SCAN, numbered_as_they_came)
    (found,) = misstatements(item, disc(item, 0.8))
    assert found.startswith("the 24 rows along y are next to each other")


@pytest.mark.parametrize(
    "scan",
    [SCAN, replace(SCAN, acceleration=1), replace(SCAN, partial_fourier=0.75), replace(SCAN, calibration="none")],
)
def test_rows_as_the_header_says_are_no_matter(scan):
    item = slice_of(scan)
    assert list(misstatements(item, disc(item, 0.8))) == []


def test_a_factor_in_the_header_of_a_full_scan_is_no_matter():
    def change(header, lines):
        header.encoding[0].parallelImaging = simulate_items(SCAN)[0].encoding[0].parallelImaging
        return lines

    item = slice_of(replace(SCAN, acceleration=1), change)
    assert list(misstatements(item, disc(item, 0.8))) == []


def without_oversampling_in_the_field_of_view(header, lines):
    space = header.encoding[0].encodedSpace.fieldOfView_mm
    space.x = header.encoding[0].reconSpace.fieldOfView_mm.x
    return lines


@pytest.mark.parametrize(("share", "n_found"), [(0.4, 1), (0.9, 0)])
@pytest.mark.parametrize("level", [5.0, 100.0])
def test_a_field_of_view_without_oversampling_is_told_by_an_object_in_its_middle(share, n_found, level):
    item = slice_of(SCAN, without_oversampling_in_the_field_of_view)
    assert item.kspace.shape[-1] == 64
    found = list(misstatements(item, disc(item, share, level)))
    assert len(found) == n_found
    assert all("64 pixels over 220 mm along x, and 32 over the same" in sentence for sentence in found)


def test_a_small_object_in_a_right_field_of_view_is_no_matter():
    item = slice_of(SCAN)
    assert list(misstatements(item, disc(item, 0.2))) == []


def test_an_image_of_nothing_is_no_matter():
    item = slice_of(SCAN, without_oversampling_in_the_field_of_view)
    assert list(misstatements(item, 0 * disc(item, 0.2))) == []
