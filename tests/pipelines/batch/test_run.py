"""A batch without workers of its own: what it leaves of the last run."""

from pathlib import Path

import pytest

from nilatron.pipelines.batch import run
from nilatron.pipelines.batch.run import run_batch
from nilatron.pipelines.batch.settings import BatchSettings, Limits
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

BASE = ReplaySettings(Path(), None, "zero_filled")


@pytest.fixture
def settings(tmp_path):
    for name in ("one", "two"):
        simulate(tmp_path / f"{name}.h5", SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=4))
    (tmp_path / "damaged.h5").write_bytes(b"nothing")
    names = tuple(str(tmp_path / f"{name}.h5") for name in ("damaged", "one", "two"))
    return BatchSettings(names, tmp_path / "out", BASE, Limits(n_workers=1), "off")


@pytest.fixture
def nobody(monkeypatch):
    """Has no cluster answer."""

    def engine_of(_):
        raise ConnectionError("no Ray at 10.0.0.1:6379")

    monkeypatch.setattr(run, "engine_of", engine_of)


@pytest.mark.usefixtures("nobody")
def test_where_no_worker_can_be_had_the_table_of_an_earlier_run_stays(settings):
    settings.folder.mkdir()
    before = {"results.csv": "of an earlier run", "report.html": "a page"}
    for name, text in before.items():
        (settings.folder / name).write_text(text)
    with pytest.raises(ConnectionError, match="no Ray at"):
        run_batch(settings)
    assert {name: (settings.folder / name).read_text() for name in before} == before


@pytest.mark.usefixtures("nobody")
def test_what_needs_no_worker_is_in_the_table(settings):
    report = run_batch(BatchSettings(settings.inputs[:1], settings.folder, BASE, settings.limits, "off"))
    assert (report.n_rows, report.n_complete) == (1, 0)
    reason = report.first_reason
    assert reason.count("damaged.h5") == 1
    assert reason.removeprefix(f"{settings.inputs[0]}: ") in (settings.folder / "results.csv").read_text()
