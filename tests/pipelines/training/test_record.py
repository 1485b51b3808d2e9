import csv

import numpy as np
import pytest
from PIL import Image

from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.training.record import Record


def rows(folder):
    return list(csv.DictReader((folder / "training.csv").read_text().splitlines()))


def test_values_of_a_step_share_a_row(tmp_path):
    record = Record(tmp_path)
    record.add(100, {"loss": 0.5, "learning_rate": 1e-3})
    record.add(200, {"loss": 0.25})
    record.add(200, {"rmse_sigma_0.05": 0.01})
    assert rows(tmp_path) == [
        {"step": "100", "loss": "0.5", "learning_rate": "0.001", "rmse_sigma_0.05": ""},
        {"step": "200", "loss": "0.25", "learning_rate": "", "rmse_sigma_0.05": "0.01"},
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training.csv", "training.png"]


def test_the_picture_has_a_panel_more_when_errors_are_measured(tmp_path):
    record, sizes = Record(tmp_path), []
    for values in ({"loss": 0.5}, {"rmse_sigma_0.05": 0.01}):
        record.add(100, values)
        with Image.open(tmp_path / "training.png") as picture:
            sizes.append(picture.size)
            assert np.asarray(picture).std() > 0
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1])


def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path):
    record = Record(tmp_path)
    for step in (1, 2, 3):
        record.add(step, {"loss": 1 / step})
    Record(tmp_path, first_step=2).add(3, {"loss": 7.0})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [("1", "1.0"), ("2", "0.5"), ("3", "7.0")]
    Record(tmp_path).add(1, {"loss": 9.0})
    assert [row["loss"] for row in rows(tmp_path)] == ["9.0"]


def test_a_damaged_table_costs_its_history_only(tmp_path):
    (tmp_path / "training.csv").write_text("step,loss\n1,\x01half\nx,2,3\n2,0.5\n")
    Record(tmp_path, first_step=5).add(6, {"loss": 0.25})
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "6"]


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, small_disk):
    record = Record(tmp_path)
    record.add(1, {"loss": 0.5})
    before = (tmp_path / "training.csv").read_text()
    with small_disk(10), pytest.raises(OutputError, match=r"training\.csv: File too large"):
        record.add(2, {"loss": 0.25})
    assert (tmp_path / "training.csv").read_text() == before
    assert len(list(tmp_path.iterdir())) == 2
