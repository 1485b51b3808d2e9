"""Images and weights for what is learnt about errors."""

import numpy as np
import pytest
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.errors.head import ErrorHead, ErrorHeadConfig
from nilatron.core.prior.errors.model import ErrorModel
from nilatron.core.prior.unet import UNetConfig


@pytest.fixture
def subjects(tmp_path):
    grey = np.uint8(200 * np.abs(phantom((1, 112, 104))[0]))
    for subject in ("a", "b", "c"):
        (tmp_path / "images" / subject).mkdir(parents=True)
        Image.fromarray(grey).save(tmp_path / "images" / subject / "slice.png")
    return tmp_path / "images"


@pytest.fixture
def make_weights(tmp_path):
    """Weights, with a head on request."""

    def make(with_head):
        denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.3)
        errors = ErrorModel(ErrorHead(ErrorHeadConfig((8, 8, 8)))) if with_head else None
        save_prior(tmp_path / "w.safetensors", denoiser, {"licence": "CC0"}, errors=errors)
        return tmp_path / "w.safetensors"

    return make
