"""Nodes that are started in full by `python -m gadgetron`: what they import and print, and who started them."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Config, Header

pytestmark = pytest.mark.slow

SCAN = SimulationSettings(matrix=(48, 48, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=16)
SOURCE = Path(__file__).resolve().parents[3] / "src" / "nilatron"


def scan():
    """Header and lines."""
    header, items = simulate_items(SCAN)
    return header, [item for item in items if isinstance(item, ismrmrd.Acquisition)]


def opening(header):
    return Config.of("<configuration/>"), Header.of(ToXML(header))


def launch(target="cg_sense", *folders, module="nilatron.pipelines.node"):
    """`python -m gadgetron …`, with folders in front of the module path."""

    def start(port):
        command = [sys.executable, "-m", "gadgetron", str(port), module, target]
        path = os.pathsep.join([*map(str, folders), *sys.path])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603

    return start


def test_started_as_gadgetron_does_the_images_are_those_of_the_embedded_host_and_nothing_is_printed(serving):
    header, lines = scan()
    with serving(launch()) as server:
        server.send(*opening(header), *lines, Close())
        *images, close = server.read_to_end()
        assert isinstance(close, Close), getattr(close, "text", close)
        assert server.exit_code() == 0
        assert server.process.stdout.read() == b""
    expected = list(build_node("cg_sense", {})(iter(lines), Context(header)))
    assert len(images) == 2
    assert [i.image_index for i in images] == [i.image_index for i in expected]
    assert [tuple(i.position) for i in images] == [tuple(i.position) for i in expected]
    got, wanted = (np.stack([abs(i.data) for i in found]) for found in (images, expected))
    assert np.linalg.norm(got - wanted) < 1e-3 * np.linalg.norm(wanted)


BROKEN = "raise ImportError('libnothing.so: cannot open shared object file')\n"


def broken_torch(folder):
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(BROKEN)


def broken_gadget(folder):
    package = folder / "nilatron"
    (package / "gadgets").mkdir(parents=True)
    (package / "__init__.py").write_text((SOURCE / "__init__.py").read_text())
    for name in ("core", "pipelines"):
        (package / name).symlink_to((SOURCE / name).resolve())
    (package / "gadgets" / "__init__.py").write_text(BROKEN)


@pytest.mark.parametrize("break_it", [broken_torch, broken_gadget])
def test_a_broken_import_is_an_error_and_no_success(serving, tmp_path, break_it):
    break_it(tmp_path)
    header, lines = scan()
    with serving(launch("nila", tmp_path)) as server:
        server.send(*opening(header), *lines, Close())
        error, close = server.read_to_end()
        assert "ImportError: libnothing.so: cannot open shared object file" in error.text
        assert isinstance(close, Close)
        assert server.exit_code() == 3


def test_no_orphan_is_left_when_the_process_that_started_it_is_killed(serving, tmp_path):
    """The connection stays open: it belongs to this test, not to the process that is killed."""
    middle = textwrap.dedent("""
        import subprocess, sys
        node = subprocess.Popen([sys.executable, "-m", "gadgetron", *sys.argv[1:]])
        print(node.pid, flush=True)
        node.wait()
    """)

    def start(port):
        arguments = [str(port), "nilatron.pipelines.node", "nila"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", middle, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )

    # a torch that takes long to import: the process is killed before there is a conversation
    begun = tmp_path / "begun"
    (tmp_path / "torch.py").write_text(f"import time; open({str(begun)!r}, 'w').close(); time.sleep(40)")
    with serving(start) as server:
        header, _ = scan()
        server.send(*opening(header))
        pid = int(server.process.stdout.readline())
        wait_until(begun.exists, "nothing is imported")
        server.process.kill()
        messages = server.read_to_end()
        assert server.kinds() == ["Error", "Close"]
        assert "the process that started it has ended" in messages[0].text
        wait_until(lambda: not is_alive(pid), "an orphan is left")


def wait_until(condition, otherwise):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def is_alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("module", ["nilatron.pipelines.node", "nilatron.pipelines.node.entry"])
@pytest.mark.parametrize("target", ["nlia", "session", "run_all", "Nila", ""])
def test_a_target_that_there_is_not_is_an_error_for_the_server(serving, module, target):
    header, lines = scan()
    with serving(launch(target, module=module)) as server:
        server.send(*opening(header), *lines, Close())
        error, close = server.read_to_end()
        assert f"nilatron has no target {target!r}; expected target=" in error.text
        assert "nila, nila_published" in error.text
        assert isinstance(close, Close)
        assert server.exit_code() == 3
        assert server.process.stdout.read() == b""
