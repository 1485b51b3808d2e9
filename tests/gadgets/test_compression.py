from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.metrics import nrmse
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.compression import CoilCompression, CompressionSettings
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.node import build_node
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(48, 40, 1), n_coils=24, n_slices=1, acceleration=2, calibration_lines=16)


def whitened():
    header, stream = simulate_items(SCAN)
    context, whitening = Context(header), Whitening(NoiseSettings())
    stream = Accumulator()(whitening.lines(stream, context), context)
    return context, [item for item in whitening.slices(stream, context) if isinstance(item, KSpaceSlice)]


def image(**properties):
    header, lines = simulate_items(SCAN)
    (made,) = build_node("cg_sense", properties)(lines, Context(header))
    return made.data[0, 0]


def test_kspace_and_calibration_get_the_same_virtual_coils():
    context, (item,) = whitened()
    (small,) = CoilCompression(CompressionSettings())([item], context)
    n_kept = len(small.kspace)
    assert 3 <= n_kept < 24
    assert small.calibration.shape == (n_kept, *item.calibration.shape[1:])
    (with_maps,) = CoilCompression(CompressionSettings())([replace(item, coil_maps=item.kspace)], context)
    assert np.array_equal(with_maps.coil_maps, small.kspace)
    assert np.array_equal(small.counts, item.counts)
    lost = 1 - np.sum(np.abs(small.kspace) ** 2) / np.sum(np.abs(item.kspace) ** 2)
    n_acquired = np.count_nonzero(item.counts)
    assert lost * np.sum(np.abs(item.kspace) ** 2) < 1.1 * (24 - n_kept) * n_acquired  # noise of the coils left out


def test_the_image_hardly_changes():
    assert nrmse(image(), image(virtual_coils="24")) < 0.05


def test_a_number_of_coils_can_be_asked_for():
    context, (item,) = whitened()
    (small,) = CoilCompression(CompressionSettings(virtual_coils=2))(
        [
            item,
        ],
        context,
    )
    assert small.kspace.shape[0] == 2
    assert list(CoilCompression(CompressionSettings())(["other"], context)) == ["other"]


def test_impossible_numbers_are_refused():
    with pytest.raises(SettingsError, match="virtual_coils"):
        build_node("nila", {"virtual_coils": "0"})
