import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.pipelines.prior.learn.simulated import simulated_scans
from nilatron.pipelines.training.images import load_images


@pytest.mark.slow
def test_every_scan_has_its_own_seed(subjects, make_weights):
    prior, images, said = load_prior(make_weights(False)), load_images([subjects]), []

    def drawn(n_scans, seed):
        return [scan.data for _, scan in simulated_scans(prior, images, ScanSettings(), n_scans, seed, said.append)]

    first, second = drawn(2, 0)
    assert first.shape != second.shape or not torch.equal(first, second)
    assert torch.equal(drawn(1, 0)[0], first)
    assert said[:2] == ["scan 1 of 2", "scan 2 of 2"]
