import importlib.util
import io
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ismrmrd.xsd import ToXML

from nilatron.pipelines.mrd2.schema import parse_model
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.stream import v2
from nilatron.pipelines.wire import Close

FUZZ = Path(__file__).resolve().parents[3] / "fuzz"
SCAN = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2, waveform_every=4)
ENVIRONMENT = "NILATRON_MRD_PYTHON"  # interpreters with mrd-python beside this one, separated as in PATH


@cache
def model(version):
    sys.path.insert(0, str(FUZZ))
    try:
        import mrd2_model
    finally:
        sys.path.remove(str(FUZZ))
    return parse_model(mrd2_model.schema(version))


@pytest.fixture(params=["2.1", "2.2"])
def small_model(request):
    """A model in the manner of MRD v2, made by the project."""
    return model(request.param)


@pytest.fixture(scope="session")
def scan():
    """Header as XML, and items."""
    header, items = simulate_items(SCAN)
    return ToXML(header).encode(), items


@pytest.fixture
def written():
    """A stream of MRD v2 in memory."""

    def write(of_model, xml, items):
        file = io.BytesIO()
        outgoing = v2.Outgoing(file, of_model)
        outgoing.begin(xml)
        for item in items:
            outgoing.send(item)
        outgoing.end()
        return file.getvalue()

    return write


@pytest.fixture
def read():
    """The incoming end of a stream in memory, and its items."""

    def of_bytes(data):
        incoming, items = v2.Incoming(io.BytesIO(data)), []
        while not isinstance(item := incoming.receive_some()[0], Close):
            items.append(item)
        return incoming, items

    return of_bytes


@cache
def interpreters():
    found = []
    here = [sys.executable] if importlib.util.find_spec("mrd") else []
    for python in here + os.environ.get(ENVIRONMENT, "").split(os.pathsep):
        if python:
            asked = [python, "-c", "import importlib.metadata as m; print(m.version('mrd-python'))"]
            done = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603
            found.append((python, done.stdout.strip()))
    return found


@pytest.fixture
def peers():
    """Interpreters with mrd-python, and its version in each."""
    if not interpreters():
        pytest.skip(f"no interpreter with mrd-python: name one or more in {ENVIRONMENT}")
    return interpreters()


@pytest.fixture
def run_peer():
    """Run a program of a peer; its standard output."""

    def run(python, program, *words, data=b""):
        command = [python, *(["-m", program] if program.startswith("mrd.") else ["-c", program]), *map(str, words)]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout  # noqa: S603

    return run
