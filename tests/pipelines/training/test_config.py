import tomllib
from dataclasses import replace

import pytest

from nilatron.core.prior.augment import AugmentSettings
from nilatron.pipelines.training.config import merge, parse_assignments, read_toml, to_toml
from nilatron.pipelines.training.settings import MonitorSettings, TrainingError, TrainSettings


def test_toml_written_and_read_again_is_the_same(tmp_path):
    settings = replace(
        TrainSettings(),
        architecture="tiny",
        patch_sizes=(64,),
        bf16=False,
        data='knees "a"\nand b',
        augment=replace(AugmentSettings(), scale=(0.25, 2.0)),
        monitor=MonitorSettings(tensorboard=False),
    )
    path = tmp_path / "run.toml"
    path.write_text(to_toml(settings), encoding="utf-8")
    assert merge(TrainSettings(), read_toml(path), "run.toml") == settings


def test_every_setting_is_in_the_toml():
    tables = tomllib.loads(to_toml(TrainSettings()))
    assert set(tables) == set(TrainSettings.__dataclass_fields__)
    assert set(tables["augment"]) == set(AugmentSettings.__dataclass_fields__)


def test_words_are_nested_and_typed():
    words = ["batch_size=16", "augment.scale=[1, 1.5]", "augment.shading=0", "architecture=tiny", 'data="a=b"']
    settings = merge(TrainSettings(), parse_assignments(words), "--set")
    assert settings.batch_size == 16
    assert settings.augment == replace(AugmentSettings(), scale=(1.0, 1.5), shading=0.0)
    assert isinstance(settings.augment.shading, float)
    assert (settings.architecture, settings.data) == ("tiny", "a=b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["batch=16"], "no setting 'batch'; there are: .*batch_size"),
        (["augment.blur=1"], r"no setting 'augment\.blur'; there are: .*augment\.resample"),
        (["steps=1.5"], "steps must be a whole number, got 1.5"),
        (["steps=true"], "steps must be a whole number, got True"),
        (["bf16=1"], "bf16 must be true or false, got 1"),
        (["learning_rate=fast"], "learning_rate must be a number, got 'fast'"),
        (["architecture=3"], "architecture must be a text"),
        (["patch_sizes=96"], "patch_sizes must be a list"),
        (["patch_sizes=[96, 1.0]"], "patch_sizes must be a whole number"),
        (["augment.scale=[1.0]"], r"augment\.scale must have 2 values"),
        (["augment=3"], "augment is a table of settings"),
        (["steps=0"], "--set: steps must be at least 1"),
        (["steps"], "NAME=VALUE"),
        (["steps=1", "steps=2"], "'steps' is given twice"),
        (["augment=3", "augment.scale=4"], "'augment' is given twice"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(words, message):
    with pytest.raises(TrainingError, match=message):
        merge(TrainSettings(), parse_assignments(words), "--set")


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("steps = = 3")
    for name in ("run.toml", "absent.toml"):
        with pytest.raises(TrainingError, match=f"{name} cannot be read as TOML"):
            read_toml(tmp_path / name)
