import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nilatron.pipelines.training.checkpoint import (
    FILE_NAME,
    Checkpoint,
    check_new_folder,
    read_checkpoint,
    replace_durably,
    write_checkpoint,
)
from nilatron.pipelines.training.settings import TrainingError, TrainSettings

SETTINGS = TrainSettings(architecture="tiny", patch_sizes=(64, 96), data="knees")


def checkpoint(step=7):
    tensors = {"model.a": torch.arange(6.0).reshape(2, 3) + step, "optimizer.0.step": torch.tensor(float(step))}
    return Checkpoint(step, SETTINGS, 0.2345, "ab" * 32, "", tensors)


def same(first, second):
    return replace(first, tensors={}) == replace(second, tensors={}) and all(
        torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors.keys() | second.tensors.keys()
    )


def test_what_is_written_is_read(tmp_path):
    write_checkpoint(tmp_path, checkpoint())
    assert same(read_checkpoint(tmp_path), checkpoint())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


class Died(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_death_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch, moment):
    write_checkpoint(tmp_path, checkpoint(3))

    def die(*arguments):
        if moment == "write":
            Path(arguments[1]).write_bytes(b"half")
        raise Died

    target = {
        "write": "nilatron.pipelines.training.checkpoint.safetensors.torch.save_file",
        "fsync": "os.fsync",
        "replace": "pathlib.Path.replace",
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, lambda *arguments, **_: die(*arguments))
        with pytest.raises(Died):
            write_checkpoint(tmp_path, checkpoint(6))
    assert same(read_checkpoint(tmp_path), checkpoint(3))
    write_checkpoint(tmp_path, checkpoint(6))
    assert same(read_checkpoint(tmp_path), checkpoint(6))


def test_the_file_is_on_the_disk_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    events = []
    fsync, move = os.fsync, Path.replace
    monkeypatch.setattr("os.fsync", lambda number: (events.append("fsync"), fsync(number)))
    monkeypatch.setattr("pathlib.Path.replace", lambda a, b: (events.append("replace"), move(a, b))[1])
    (tmp_path / "new").write_text("content")
    replace_durably(tmp_path / "new", tmp_path / "old")
    assert events == ["fsync", "replace", "fsync"]
    assert (tmp_path / "old").read_text() == "content"


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(TrainingError, match="nothing to resume"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_torn_checkpoint_is_refused(tmp_path, length):
    write_checkpoint(tmp_path, checkpoint())
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(TrainingError, match="torn or no safetensors file"):
        read_checkpoint(tmp_path)


def test_one_other_bit_is_refused(tmp_path):
    write_checkpoint(tmp_path, checkpoint())
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="does not fit its SHA-256"):
        read_checkpoint(tmp_path)


def test_other_metadata_are_refused(tmp_path):
    write_checkpoint(tmp_path, checkpoint())
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    assert content.count(b'"step":"7"') == 1
    path.write_bytes(content.replace(b'"step":"7"', b'"step":"8"'))
    with pytest.raises(TrainingError, match="does not fit its SHA-256"):
        read_checkpoint(tmp_path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / FILE_NAME)
    with pytest.raises(TrainingError, match="expected format 'nilatron-checkpoint-1', found None"):
        read_checkpoint(tmp_path)
    assert load_file(tmp_path / FILE_NAME)


def test_a_new_run_does_not_overwrite_an_old_one(tmp_path):
    check_new_folder(tmp_path / "new")
    write_checkpoint(tmp_path, checkpoint())
    with pytest.raises(TrainingError, match="--resume continues it"):
        check_new_folder(tmp_path)
