import json

import pytest

from nilatron.core.uncertainty.calibration import (
    Calibration,
    CalibrationLevels,
    ClassCalibration,
    SubjectScores,
    calibrated,
)
from nilatron.core.uncertainty.conformal import TooFewSubjectsError

SCORES = [SubjectScores(kappa, margin) for kappa, margin in zip(range(1, 12), range(11, 0, -1), strict=True)]


def test_kappa_covers_the_wanted_share_of_subjects_and_the_margin_nearly_all():
    found = calibrated({(0, 1): SCORES}, CalibrationLevels(confidence=0.5)).classes[0, 1]
    assert found == ClassCalibration(kappa=6.0, psnr_margin_db=11.0, subjects=11)
    assert calibrated({(0, 1): SCORES}).classes[0, 1].kappa == 8.0  # the first of 11 with 60 % of 12 at or below it


def test_a_class_with_too_few_subjects_is_refused():
    with pytest.raises(TooFewSubjectsError, match="at least 9 subjects, there are 8"):
        calibrated({(0, 0): SCORES, (0, 1): SCORES[:8]})
    assert calibrated({(0, 1): SCORES[:8]}, CalibrationLevels(bound=0.8)).classes[0, 1].subjects == 8


def test_a_scan_has_the_class_of_its_bands():
    found = Calibration({(1, 2): ClassCalibration(1.5, 0.3, 9)})
    assert found.of(3.0, 0.1) == ClassCalibration(1.5, 0.3, 9)
    assert found.of(3.4, 0.1) is None  # the next band begins here
    assert found.class_of(1.0, 0.001) == (0, 0)
    assert found.class_of(3.4, 0.05) == (2, 2)


def test_it_comes_back_from_text():
    found = calibrated({(0, 1): SCORES, (2, 2): SCORES}, CalibrationLevels(0.8, 0.6, 0.7))
    assert Calibration.parsed(found.json()) == found


@pytest.mark.parametrize(
    "broken",
    [
        "{}",
        "[]",
        "null",
        "no json",
        '{"classes": 3}',
        '{"levels": {"coverage": 2}, "acceleration_edges": [], "noise_edges": [], "classes": []}',
        json.dumps({**json.loads(calibrated({(0, 0): SCORES}).json()), "classes": [[0, 0, {"kappa": -1}]]}),
        json.dumps({**json.loads(calibrated({(0, 0): SCORES}).json()), "noise_edges": ["a"]}),
    ],
)
def test_other_texts_are_refused(broken):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one, too
        Calibration.parsed(broken)
