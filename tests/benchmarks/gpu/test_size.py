"""The size that has bars."""

from gpu.size import FULL, TINY


def test_the_bars_belong_to_slices_of_256_with_16_coils_and_8_samples():
    assert (FULL.matrix, FULL.n_coils, FULL.n_samples, FULL.batches) == (256, 16, 8, (1, 2, 4, 8, 16))
    assert (FULL.judged, TINY.judged) == (True, False)
    assert FULL.weights.is_file()
