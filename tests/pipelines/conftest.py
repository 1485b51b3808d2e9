import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nilatron.pipelines.simulate import SimulationSettings, simulate

SETTINGS = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    simulate(path, replace(SETTINGS, waveform_every=4))
    return path


@pytest.fixture
def raw_path(pristine, tmp_path):
    return Path(shutil.copy(pristine, tmp_path / "raw.h5"))
