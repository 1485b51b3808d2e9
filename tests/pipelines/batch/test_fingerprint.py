import os
from dataclasses import replace

import pytest

from nilatron.core.prior.weights import find_weights
from nilatron.pipelines.batch.fingerprint import fingerprint, recipe, stamp
from nilatron.pipelines.replay.settings import ReplaySettings


@pytest.fixture
def settings(tmp_path):
    raw = tmp_path / "raw.h5"
    raw.write_bytes(b"lines of k-space")
    return ReplaySettings(raw, None, "zero_filled", weights=find_weights("tiny"))


def test_it_depends_on_bytes_and_not_on_names_or_times(settings, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(settings.raw.read_bytes())
    os.utime(copy, (1, 1))
    assert fingerprint(replace(settings, raw=copy, output=tmp_path / "out.h5")) == fingerprint(settings)
    assert stamp(copy) != stamp(settings.raw)


def test_one_byte_of_the_raw_file_changes_it(settings):
    before, made = fingerprint(settings), recipe(settings)
    settings.raw.write_bytes(b"lines of k-spacE")
    assert fingerprint(settings) != before
    assert recipe(settings) == made


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "cg_sense"},
        {"properties": {"pixel_type": "uint16"}},
        {"seed": 1},
        {"group": "other"},
        {"device": "cuda"},
        {"weights": find_weights("default")},
    ],
)
def test_everything_that_makes_the_images_changes_it(settings, change):
    assert recipe(replace(settings, **change)) != recipe(settings)


def test_so_do_the_noise_file_a_chain_of_the_same_name_and_the_version(settings, tmp_path, monkeypatch):
    noise = tmp_path / "noise.h5"
    noise.write_bytes(b"noise")
    with_noise = replace(settings, noise=noise)
    found = {recipe(settings), recipe(with_noise)}
    noise.write_bytes(b"other noise")
    found.add(recipe(with_noise))
    monkeypatch.setattr("nilatron.pipelines.batch.fingerprint.__version__", "0.0.0")
    found.add(recipe(settings))
    assert len(found) == 4


def test_a_file_that_is_not_there_has_no_stamp(tmp_path):
    assert stamp(tmp_path / "none.h5") == ""
