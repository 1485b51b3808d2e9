"""The conformance statement against the files."""

import re
from pathlib import Path

import pytest

from nilatron.pipelines.archive import identity, send, study

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "dicom_conformance.md").read_text()


def named(keyword):
    return re.search(rf"\b{keyword}\b", TEXT) is not None


@pytest.mark.slow
def test_every_attribute_of_the_files_is_named(image, datasets):
    source = [
        image(slice=i, at_mm=4.0 * i, series=series, acquisition_time_stamp=9999) for i in (0, 1) for series in (1, 101)
    ]
    found = {element.keyword for data in datasets(*source) for element in data}
    equipment = {element.keyword for data in datasets(*source) for element in data.ContributingEquipmentSequence[-1]}
    algorithm = {name for name in equipment if name.startswith("Algorithm")}
    assert len(found) > 80
    assert len(algorithm) == 5
    assert sorted(name for name in found | algorithm if not named(name)) == []


@pytest.mark.parametrize("name", study.TAKEN)
def test_what_is_taken_from_a_reference_is_named(name):
    assert named(name)


def test_the_numbers_are_those_of_the_program():
    settings = send.SendSettings()
    assert identity.IMPLEMENTATION_UID in TEXT
    assert (settings.tries, settings.pause_s, settings.silence_s) == (4, 1, 30)
    assert f"| calling AE title | `{send.OUR_TITLE}` |" in TEXT
