"""The command as a program: killed, out of time, with several processes, without ISMRMRD."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nilatron.core.prior.edm_weights import load_prior

SMALL = (
    *("--architecture", "tiny", "--steps", "6", "--batch-size", "3", "--device", "cpu"),
    *("--set", "patch_sizes=[32, 48]", "--set", "bf16=false"),
    *("--scans", "2", "--set", "scans.acquisition.sides=[64, 72]"),
    *("--set", "monitor.checkpoint_every=2", "--set", "monitor.log_every=1", "--set", "monitor.picture_every=0"),
)
STOPPED_EARLY = 5


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for n in range(3):
        Image.fromarray(rng.integers(0, 256, (60 + n, 70), dtype=np.uint8)).save(folder / f"{n}.png")
    return folder


def start(*words, prelude="pass"):
    """A process of its own, one thread; its log on stderr."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONUNBUFFERED": "1",
    }
    program = ["-c", f"{prelude}; from nilatron.pipelines.cli import main; main()"] if prelude else ["-m", "nilatron"]
    command = [sys.executable, *program, "train", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603


def finish(process, code=0):
    out, err = process.communicate()
    assert process.returncode == code, err
    return out + err


def wait_for_step(process, step):
    for line in process.stderr:
        if line.startswith(f"step {step} of"):
            return
    raise AssertionError(f"the run ended before step {step}")


def state(folder):
    return load_file(folder / "checkpoint.safetensors")


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """An unbroken run of one process."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in ("ismrmrd", "gadgetron", "h5py"))
    finish(start(images, folder, *SMALL, prelude=f"import sys; {blocked}"))
    return folder


@pytest.mark.slow
def test_it_runs_where_ismrmrd_and_gadgetron_are_absent(whole):
    assert load_prior(whole / "prior.safetensors").metadata["trained_steps"] == "6"


@pytest.mark.slow
def test_a_run_killed_at_any_moment_and_resumed_ends_with_the_same_bits(images, whole, tmp_path):
    run = tmp_path / "run"
    process = start(images, run, *SMALL)
    wait_for_step(process, random.randint(1, 5))  # noqa: S311
    time.sleep(random.uniform(0, 0.02))  # noqa: S311
    process.send_signal(signal.SIGKILL)
    finish(process, -signal.SIGKILL)
    finish(start(images, run, "--resume"))
    assert same(state(run), state(whole))
    first, second = (load_prior(folder / "prior.safetensors").metadata for folder in (run, whole))
    assert first == second  # with the hash of the tensors


@pytest.mark.slow
def test_a_signal_ends_a_run_with_its_own_code_and_a_table(images, tmp_path):
    process = start(images, tmp_path / "run", *SMALL, "--steps", 10_000)
    wait_for_step(process, 3)
    process.send_signal(signal.SIGTERM)
    finish(process, STOPPED_EARLY)
    rows = list(csv.DictReader((tmp_path / "run" / "training.csv").read_text().splitlines()))
    assert int(rows[-1]["step"]) >= 3
    assert not list((tmp_path / "run").glob("*.partial"))


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(command, images, tmp_path, small_disk):
    run = tmp_path / "run"
    assert command("train", images, run, *SMALL, "--steps", 2)[0] == 0
    before = (run / "checkpoint.safetensors").read_bytes()
    with small_disk(len(before) // 2):
        code, _, err = command("train", images, run, "--resume", "--steps", 3)
    assert code == 3
    expected = f"nilatron: {run / 'checkpoint.safetensors'}: File too large; an earlier one is as it was"
    assert err.splitlines()[-1] == expected
    assert (run / "checkpoint.safetensors").read_bytes() == before
    assert not list(run.glob("*.partial"))


@pytest.mark.slow
def test_two_processes_have_the_result_of_one_up_to_rounding(images, whole, tmp_path):
    finish(start(images, tmp_path / "two", *SMALL, "--devices", 2, prelude=None))
    one, two = state(whole), state(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        if name.startswith(("model.", "average.")):
            torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_run_out_of_time_has_done_what_it_was_asked_for_and_goes_on(command, images, tmp_path):
    code, out, _ = command("train", images, tmp_path / "run", *SMALL, "--steps", 2, "--minutes", 0)
    assert (code, "stopped after step 1 of 2: --resume goes on" in out) == (0, True)
    code, out, _ = command("train", images, tmp_path / "run", "--resume")
    assert (code, "stopped" in out) == (0, False)


def test_flags_go_over_words_and_words_over_the_file(command, tmp_path):
    (tmp_path / "run.toml").write_text("steps = 5\nseed = 7\nbatch_size = 3\n[augment]\nshading = 0.1\n")
    words = ("--config", tmp_path / "run.toml", "--set", "seed=8", "--set", "steps=6", "--steps", 9, "--device", "cpu")
    code, out, _ = command("train", "--show-config", *words)
    shown = tomllib.loads(out)
    assert (code, shown["steps"], shown["seed"], shown["batch_size"]) == (0, 9, 8, 3)
    assert (shown["augment"]["shading"], shown["compute"]["device"]) == (0.1, "cpu")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "colour=3"), "no setting 'colour'"),
        (("--set", "architecture=huge"), "unknown architecture 'huge'"),
        (("--resume",), "nothing to resume"),
    ],
)
def test_bad_settings_are_one_line_and_code_2(command, images, tmp_path, words, message):
    code, _, err = command("train", images, tmp_path / "run", *words)
    assert code == 2
    assert message in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_is_neither_overwritten_nor_resumed_as_another(command, images, whole):
    code, _, err = command("train", images, whole)
    assert (code, "--resume continues it" in err) == (2, True)
    code, _, err = command("train", images, whole, "--resume", "--seed", 3)
    assert (code, "seed (0 then, 3 now)" in err) == (2, True)


def test_images_and_a_folder_are_asked_for(command):
    code, _, err = command("train")
    assert code == 2
    assert "IMAGES... -o OUT" in err
