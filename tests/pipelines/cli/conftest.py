import sys
from functools import cache

import pytest
import typer.main

from nilatron.pipelines import cli
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=2, noise_lines=4, n_slices=2)


built_once = cache(typer.main.get_command)  # which takes longer than most of what the commands are asked here


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the program as from a shell; exit code, stdout, stderr."""
    monkeypatch.setattr(typer.main, "get_command", built_once)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["nilatron", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    simulate(path, SCAN)
    return path


@pytest.fixture
def raw(scan_path, tmp_path):
    path = tmp_path / "raw.h5"
    path.write_bytes(scan_path.read_bytes())
    return path


@pytest.fixture
def folder(tmp_path):
    """Where the output goes; nothing else is there."""
    path = tmp_path / "results"
    path.mkdir()
    return path


@pytest.fixture
def one_line():
    """The one line of an error on stderr, without the warnings that may stand before it."""

    def find(err):
        lines = [line for line in err.splitlines() if line.startswith("nilatron: ")]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        assert lines[0] == err.splitlines()[-1]
        return lines[0]

    return find


@pytest.fixture
def scan_settings():
    return SCAN
