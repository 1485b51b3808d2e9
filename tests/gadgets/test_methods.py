from nilatron.gadgets.methods import METHODS


def test_targets_are_those_of_the_shipped_chains():
    assert set(METHODS) == {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published"}
    assert all(method.history for method in METHODS.values())
