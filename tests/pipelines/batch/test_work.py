"""One file in a worker, without a worker."""

import os
from dataclasses import replace

import pytest

from nilatron.pipelines.batch import work
from nilatron.pipelines.batch.records import read_record, record_path, remove_half_files, write_record
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import GROUP, Job
from nilatron.pipelines.batch.work import finished_before, prepare, reconstruct
from nilatron.pipelines.replay.settings import ReplaySettings


@pytest.fixture
def job(raw_path, tmp_path):
    for part in ("images", "records"):
        (tmp_path / "out" / part).mkdir(parents=True)
    settings = ReplaySettings(raw_path, tmp_path / "out/images/a.h5", "zero_filled", output_group=GROUP)
    return Job("a", settings)


def test_a_row_says_what_came(job):
    row = reconstruct(job)
    assert (row.file, row.output) == (str(job.settings.raw), str(job.output))
    assert (row.exit, row.slices, row.fall_backs, row.acceleration) == (0, 1, 0, 1.0)
    assert row.seconds > 0
    assert read_record(job).row == row


def test_a_finished_file_is_recognised_and_not_made_again(job):
    row = reconstruct(job)
    assert prepare(job) == finished_before(job) == replace(row, tries=0)
    assert reconstruct(job) == replace(row, tries=0)


def test_a_touched_file_is_recognised_by_its_bytes(job, monkeypatch):
    row = reconstruct(job)
    os.utime(job.settings.raw, (1, 1))
    assert finished_before(job) is None
    monkeypatch.setattr(work, "replay", None)  # is not called
    assert reconstruct(job) == replace(row, tries=0)
    assert finished_before(job) is not None


def test_a_file_without_its_images_is_made_again(job):
    reconstruct(job)
    job.output.unlink()
    assert isinstance(prepare(job), int)
    assert reconstruct(job).exit == 0
    assert job.output.is_file()


def test_images_that_were_made_otherwise_stay_unless_they_may_be_replaced(job):
    reconstruct(job)
    before = job.output.read_bytes()
    other = replace(job, settings=replace(job.settings, seed=1))
    row = reconstruct(other)
    assert row.exit == 2
    assert "--overwrite" in row.reason
    assert job.output.read_bytes() == before
    assert finished_before(job) is not None
    assert reconstruct(replace(other, overwrite=True)).exit == 0
    assert finished_before(other) is not None


def test_images_of_a_worker_that_was_killed_before_it_said_so_are_made_again(job):
    row = reconstruct(job)
    write_record(job, replace(read_record(job), row=None))
    assert isinstance(prepare(job), int)
    assert reconstruct(job).exit == row.exit == 0


def test_a_file_that_is_not_ours_stays(job):
    job.output.write_bytes(b"of somebody")
    assert reconstruct(job).exit == 2
    assert job.output.read_bytes() == b"of somebody"


def test_a_damaged_file_needs_no_worker(job):
    job.settings.raw.write_bytes(b"nothing")
    row = prepare(job)
    assert (row.exit, row.tries, row.output) == (2, 0, "")
    assert "not an HDF5 file" in row.reason
    assert str(job.settings.raw) not in row.reason  # it is in the row's first column
    tried = reconstruct(job)
    assert (tried.exit, tried.reason) == (2, row.reason)


def test_memory_is_known_before_the_start(job):
    assert 1 << 20 < prepare(job) < 1 << 30


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"fingerprint": 1}', '{"fingerprint": "", "recipe": "", "stamp": "", "row": 3}']
)
def test_a_damaged_record_is_none(job, text):
    reconstruct(job)
    record_path(job).write_text(text)
    assert read_record(job) is None
    assert finished_before(job) is None


def test_half_files_of_one_output_or_of_all_are_removed(job, tmp_path):
    images = tmp_path / "out/images"
    for name in (".a.h5.12-ab.tmp", ".b.h5.12-ab.tmp", ".b.tmp"):
        (images / name).touch()
    remove_half_files(tmp_path / "out", job)
    assert sorted(path.name for path in images.iterdir()) == [".b.h5.12-ab.tmp", ".b.tmp"]
    remove_half_files(tmp_path / "out")
    assert sorted(path.name for path in images.iterdir()) == [".b.tmp"]


def test_a_row_survives_its_line():
    row = Row("ä.h5", exit=3, chi2=1.25, warnings="x; y", reason="\n")
    assert Row.from_json(row.as_json()) == row
    assert "\n" not in row.as_json()
    assert Row.from_json(row.as_json().replace("{", '{"later": 1, ', 1)) == row
