"""What is asked of a replay, and when it counts as complete."""

from dataclasses import replace
from pathlib import Path

import pytest

from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.replay.settings import ReplayReport, ReplaySettings, check_output

WHOLE = ReplayReport(3, 3, ScanLog(), 1.0)


def test_all_images_are_complete_and_so_is_noise_that_was_stored():
    assert WHOLE.complete
    assert ReplayReport(0, 0, ScanLog(), 1.0, stored_noise="noise_7").complete


@pytest.mark.parametrize(
    "report",
    [
        replace(WHOLE, n_images=2),
        replace(WHOLE, n_images=0, n_expected=0),
        replace(WHOLE, failure=OutputError("the disk is full")),
        replace(WHOLE, log=ScanLog(problems=["slice 0: a fall-back"])),
    ],
    ids=["an image is missing", "no image was expected", "the disk was full", "a problem"],
)
def test_what_is_missing_is_not_complete(report):
    assert not report.complete


@pytest.mark.parametrize("read", ["raw", "noise"])
def test_files_that_are_read_are_not_written(tmp_path, read):
    for name in ("raw", "noise", "images"):
        (tmp_path / name).touch()
    settings = ReplaySettings(tmp_path / "raw", None, noise=tmp_path / "noise")
    check_output(settings, tmp_path / "images")
    with pytest.raises(InputError, match=f"is the {read} file"):
        check_output(settings, tmp_path / read)


def test_a_report_needs_a_folder_and_replaces_nothing_unasked(tmp_path):
    settings = ReplaySettings(tmp_path / "raw", None, report=tmp_path / "report.html")
    check_output(settings, tmp_path / "images")
    (tmp_path / "report.html").touch()
    with pytest.raises(InputError, match="exists: choose another"):
        check_output(settings, tmp_path / "images")
    check_output(replace(settings, overwrite=True), tmp_path / "images")
    with pytest.raises(InputError, match="does not exist or may not be written"):
        check_output(replace(settings, report=Path(tmp_path / "none" / "report.html")), tmp_path / "images")
