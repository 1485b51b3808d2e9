import csv
import logging
import re
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

from nilatron.pipelines.training.monitor import Monitor
from nilatron.pipelines.training.settings import MonitorSettings, TrainingError, TrainSettings

SETTINGS = TrainSettings(steps=10)


def logged(folder):
    """All values in TensorBoard's files: records of length, its checksum, an event, and the event's checksum."""
    values = {}
    for path in sorted(folder.glob("logs/events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                values[value.tag, event.step] = value
    return values


def test_tensorboard_finds_what_was_written(tmp_path, caplog):
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with caplog.at_level(logging.INFO), Monitor(tmp_path, SETTINGS, 0) as monitor:
        monitor.write_step(5, 0.5, 2.0, 1e-3, 40)
        monitor.advance(5)
        monitor.write_errors(5, {0.02: 0.0125})
        monitor.restart_clock()
        monitor.write_picture(5, "samples", picture)
    found = logged(tmp_path)
    assert found["training/loss", 5].simple_value == 0.5
    assert found["training/gradient_norm", 5].simple_value == 2.0
    assert found["training/learning_rate", 5].simple_value == pytest.approx(1e-3)
    assert found["training/images_per_s", 5].simple_value > 0
    assert found["validation/rmse_sigma_0.02", 5].simple_value == pytest.approx(0.0125)
    assert (found["samples", 5].image.height, found["samples", 5].image.width) == (3, 4)
    with Image.open(tmp_path / "pictures" / "samples_0000005.png") as image:
        assert np.array_equal(np.asarray(image), picture)
    assert re.search(r"step 5 of 10, loss 0.5000, .* images/s, \d+ s left", caplog.text)


def test_table_and_picture_are_there_without_tensorboard(tmp_path):
    quiet = replace(SETTINGS, monitor=MonitorSettings(tensorboard=False))
    with Monitor(tmp_path, quiet, 0) as monitor:
        monitor.write_step(5, 0.5, 2.0, 1e-3, 40)
        monitor.write_errors(5, {0.02: 0.0125})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training.csv", "training.png"]
    (row,) = csv.DictReader((tmp_path / "training.csv").read_text().splitlines())
    assert (row["step"], row["loss"], row["gradient_norm"], row["rmse_sigma_0.02"]) == ("5", "0.5", "2.0", "0.0125")


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(TrainingError, match=r"pip install 'nilatron\[train\]'.*monitor.tensorboard=false"):
        Monitor(tmp_path, SETTINGS, 0)
