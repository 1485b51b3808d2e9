import numpy as np
import pytest
import torch

from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.sampled_scan import sampled_scan
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.sampling.image import ImageSettings


@pytest.mark.parametrize(("sigma", "detail"), [(0.01, 0.0), (0.1, 0.3)])
def test_a_scan_is_sampled_with_the_detail_that_its_data_ask_for(sigma, detail):
    scans = ScanSettings(
        n_coils=(3, 3), calibration_lines=(12,), acquisition=AcquisitionSettings(sides=(72, 80)), sigma=(sigma, sigma),
        accelerations=(6,), regular_probability=1.0,
    )  # fmt: skip
    scan = draw_scan([torch.rand(80, 80, generator=torch.Generator().manual_seed(0))], scans, torch.Generator())
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.3).eval()
    found = sampled_scan(denoiser, scan, np.random.default_rng(0), ImageSettings(steps=2))
    assert found.settings.detail == pytest.approx(detail)
    assert found.result.image.shape == (1, *scan.truth.shape)
    assert not found.result.image.requires_grad
