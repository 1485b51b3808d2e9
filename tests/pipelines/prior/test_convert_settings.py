import math

import numpy as np
import pytest

from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP
from nilatron.core.prior.foreign import ForeignUnits
from nilatron.core.prior.noise_levels import cosine_alpha_bar, linear_alpha_bar
from nilatron.pipelines.prior.convert_settings import ConversionError, ForeignUnitSettings, read_table

READ = {
    "edm": (ForeignUnitSettings("edm", sigma_data=0.3), EDM("raw", "ln_sigma", 0.3), 0.25),
    "edm denoised": (ForeignUnitSettings("edm", predicts="denoised"), EDM("denoised", "sigma"), 1.0),
    "edm of sigma": (ForeignUnitSettings("edm", sigma_data=0.5, time="sigma"), EDM("raw", "sigma"), 1.0),
    "ve": (ForeignUnitSettings("ve"), VE(), 1.0),
    "ve steps": (
        ForeignUnitSettings("ve", "noise", "step", limits=(0.1, 10.0), n_steps=3),
        VE("noise", "step", (0.1, 1.0, 10.0)),
        1.0,
    ),
    "ddpm": (ForeignUnitSettings("vp"), VP("noise", "step", linear_alpha_bar()), 1.0),
    "v, cosine": (
        ForeignUnitSettings("vp", "v", "position", schedule="cosine", n_steps=50),
        VP("v", "position", cosine_alpha_bar(50)),
        1.0,
    ),
    "sde": (
        ForeignUnitSettings("vp", schedule="continuous", time_factor=999.0),
        ContinuousVP("noise", (0.1, 20.0)),
        999.0,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_words_and_defaults(name):
    settings, convention, factor = READ[name]
    units = settings.units()
    found, expected = units.convention, convention
    assert type(found) is type(expected)
    for field in vars(expected):
        assert getattr(found, field) == pytest.approx(getattr(expected, field)), field
    assert units.time_factor == factor


def test_units_pass_through():
    settings = ForeignUnitSettings("ve", noise="complex", scale=2.0, offset=-1.0, swapped=True, multiple=8)
    assert settings.units() == ForeignUnits(VE(), "complex", 2.0, -1.0, 2, True, 1.0, 8)


def test_tables_are_text_or_npy(tmp_path):
    (tmp_path / "levels.txt").write_text("0.1\n0.5\n2\n")
    np.save(tmp_path / "levels.npy", [0.1, 0.5, 2.0])
    for name in ("levels.txt", "levels.npy"):
        assert read_table(str(tmp_path / name)) == (0.1, 0.5, 2.0)
    settings = ForeignUnitSettings("ve", time="position", schedule=str(tmp_path / "levels.txt"))
    assert settings.units().convention.levels == (0.1, 0.5, 2.0)


def test_tables_are_not_unpickled(tmp_path):
    np.save(tmp_path / "levels.npy", np.array([{}, 1], object))
    (tmp_path / "words.txt").write_text("one two")
    for name in ("levels.npy", "words.txt"):
        with pytest.raises(ConversionError, match="expected numbers"):
            read_table(str(tmp_path / name))


REFUSED = {
    "convention": (ForeignUnitSettings("ddim"), "convention must be one of edm, ve, vp"),
    "prediction": (ForeignUnitSettings("ve", "v"), "VE network predicts one of"),
    "time": (ForeignUnitSettings("vp", time="sigma"), "VP network's time is one of"),
    "sigma_data is missing": (ForeignUnitSettings("edm"), "needs --sigma-data"),
    "sigma_data of no use": (ForeignUnitSettings("edm", "denoised", sigma_data=0.5), "predicts raw"),
    "sigma_data is zero": (ForeignUnitSettings("edm", sigma_data=0.0), "must be positive"),
    "sigma_data is superfluous": (ForeignUnitSettings("ve", sigma_data=0.5), "belongs to EDM"),
    "schedule of edm": (ForeignUnitSettings("edm", sigma_data=0.5, schedule="linear"), "has no schedule"),
    "schedule of sigma": (ForeignUnitSettings("ve", limits=(0.1, 1.0)), "has no schedule"),
    "steps without levels": (ForeignUnitSettings("ve", time="step"), "needs --limits"),
    "steps of continuous time": (ForeignUnitSettings("vp", time="step", schedule="continuous"), "has no steps"),
    "schedule": (ForeignUnitSettings("vp", schedule="sigmoid"), "no schedule 'sigmoid'"),
    "betas": (ForeignUnitSettings("vp", limits=(0.02, 1e-4)), "must rise"),
    "noise": (ForeignUnitSettings("ve", noise="real"), "noise must be one of"),
    "scale": (ForeignUnitSettings("ve", scale=math.nan), "scale must be positive"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_words_that_name_nothing(fault):
    settings, message = REFUSED[fault]
    with pytest.raises(ConversionError, match=message):
        settings.units()
