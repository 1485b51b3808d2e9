"""What all commands share, and the shipped chains."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nilatron import __version__
from nilatron.pipelines import cli


@pytest.mark.slow
def test_configs(command, one_line):
    code, out, _ = command("configs", "list")
    assert code == 0
    names = out.split()
    assert {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published", "nila_after_gadgetron"} <= set(names)
    code, out, _ = command("configs", "show", "nila")
    assert code == 0
    assert "<configuration>" in out
    code, out, _ = command("configs", "path", "nila")
    assert code == 0
    assert out.strip().endswith("nila.xml")
    code, _, err = command("configs", "show", "nil")
    assert code == 2
    assert "unknown chain 'nil'" in one_line(err)


@pytest.mark.slow
def test_own_chains_are_checked_before_a_server_sees_them(command, one_line, tmp_path):
    shipped = command("configs", "path", "nila_connect")[1].strip()
    assert command("configs", "check", shipped)[::2] == (0, "")
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(Path(shipped).read_text().replace("NoiseAdjustGadget", "NoiseGadget").replace("9002", "many"))
    code, out, err = command("configs", "check", wrong)
    assert (code, out) == (2, "")
    assert "no gadget 'NoiseGadget'" in one_line(err)
    assert "port 'many'" in one_line(err)
    code, _, err = command("configs", "check", tmp_path / "none.xml")
    assert code == 2
    assert "No such file" in one_line(err)


def test_version_and_what_is_missing(command):
    assert command("--version")[:2] == (0, f"{__version__}\n")
    assert command("replay")[0] == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_file_of_output_is_one_line(one_line):
    sources = Path(cli.__file__).resolve().parents[2] / "src"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nilatron", "configs", "list"],
            env={**os.environ, "PYTHONPATH": str(sources)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert one_line(done.stderr) == "nilatron: output: No space left on device"
