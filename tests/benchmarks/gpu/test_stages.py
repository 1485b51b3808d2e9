"""The stages that are compared, and what holds for their results."""

import numpy as np

from gpu.place import NUMPY
from gpu.reference import Reference, relative
from gpu.scan import raw_slice
from gpu.stages import classical_stages, network_stages, support_changed


def test_their_names(small):
    assert list(classical_stages()) == [
        "whitening",
        "compression",
        "ESPIRiT",
        "Walsh",
        "SENSE forward",
        "SENSE adjoint",
        "SENSE normal",
        "zero-filled",
        "CG-SENSE",
        "l1-wavelet",
    ]
    assert list(network_stages(small.weights)) == ["one evaluation", "Nila image", "posterior samples"]


def test_what_can_be_known_of_them(small):
    reference, stages = Reference(raw_slice(small)), classical_stages()
    got = {
        name: stages[name](NUMPY, reference)
        for name in ("compression", "SENSE forward", "SENSE adjoint", "SENSE normal")
    }
    operator = reference.operator(NUMPY)
    assert relative(operator.adjoint(got["SENSE forward"]), got["SENSE normal"]) < 1e-5
    inner = (
        np.vdot(got["SENSE forward"], reference.problem.data),
        np.vdot(reference.problem.conventional, got["SENSE adjoint"]),
    )
    assert abs(inner[0] - inner[1]) < 1e-4 * abs(inner[0])
    assert np.linalg.norm(got["compression"]) <= np.linalg.norm(reference.white[0])


def test_the_support_of_maps():
    maps = np.ones((2, 1, 10, 10), np.complex64)
    other = maps.copy()
    other[:, 0, 0, 0] = 0
    other[0, 0, 1, 1] = 0  # another coil still sees it
    assert support_changed(other, maps) == 0.01
