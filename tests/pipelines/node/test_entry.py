"""The node as `python -m gadgetron` starts it, and this test as the server's end of the conversation.

The nodes are forked from a process that has imported everything, because imports take seconds.
"""

import multiprocessing
import os
import socket
import struct
import sys
from dataclasses import replace
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.node import entry as node
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Config, Error, Header, encode

LAUNCH = "import os; os.environ.update({}); from gadgetron.__main__ import main; main({})"
SCAN = SimulationSettings(matrix=(48, 48, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=16)
IN_FRONT = {
    "raw": (),
    "whitened": ("NoiseAdjustGadget", "AsymmetricEchoAdjustROGadget", "RemoveROOversamplingGadget"),
}
IN_FRONT["bucket"] = (*IN_FRONT["whitened"], "AcquisitionAccumulateTriggerGadget")
IN_FRONT["buffer"] = (*IN_FRONT["bucket"], "BucketToBufferGadget")
PROPERTIES = {
    "AcquisitionAccumulateTriggerGadget": {"trigger_dimension": "repetition", "sorting_dimension": "slice"},
    "BucketToBufferGadget": {"split_slices": "true", "ignore_segment": "true"},
}


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


def scan(place="raw", settings=SCAN):
    """Header and what a node at this place of a chain receives."""
    header, items = simulate_items(settings)
    context = Context(header)
    for name in IN_FRONT[place]:
        items = STOCK_GADGETS[name](PROPERTIES.get(name, {}))(items, context)
    return header, [item for item in items if not isinstance(item, ismrmrd.Waveform)]


def opening(header, configuration="<configuration/>"):
    return message_bytes(Config.of(configuration), Header.of(ToXML(header)))


def kinds(messages):
    return [type(m).__name__ if isinstance(m, Error | Close) else "Image" for m in messages]


@pytest.fixture(scope="module")
def forks():
    """Processes that start with everything imported."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gadgetron.__main__", "nilatron.gadgets.node", "nilatron.pipelines.node.session"])
    context.Process(target=len, args=((),)).start()
    os.environ.pop("PYTHONPATH") if path is None else os.environ.update(PYTHONPATH=path)
    return context


@pytest.fixture
def forked(forks, serving):
    def run(target="cg_sense", **settings):
        def start(port):
            environment = {f"NILATRON_NODE_{name}": str(value) for name, value in settings.items()}
            arguments = [str(port), "nilatron.pipelines.node", target]
            process = forks.Process(target=exec, args=(LAUNCH.format(environment, arguments), {}), daemon=True)
            process.start()
            return process

        return serving(start)

    return run


def reconstruct(server, place="raw"):
    header, items = scan(place)
    server.send(opening(header), *items, Close())
    *images, close = server.read_to_end()
    assert isinstance(close, Close), getattr(close, "text", close)
    assert server.exit_code() == 0
    return images


def difference(got, expected):
    assert [i.image_index for i in got] == [i.image_index for i in expected]
    assert [tuple(i.position) for i in got] == [tuple(i.position) for i in expected]
    a, b = (np.stack([abs(i.data) for i in images]) for images in (got, expected))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_every_shipped_target_is_there():
    from nilatron.gadgets.methods import METHODS

    assert set(node.TARGETS) == set(METHODS)
    assert all(callable(getattr(node, target)) for target in METHODS)


def test_only_the_launcher_finds_other_targets(monkeypatch):
    with pytest.raises(AttributeError, match="no attribute 'nlia'"):
        node.nlia  # noqa: B018
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=SimpleNamespace(name=node.LAUNCHER)))
    assert callable(node.nlia)
    with pytest.raises(AttributeError, match="__wrapped__"):
        node.__wrapped__  # noqa: B018


@pytest.mark.parametrize(("place", "tolerance"), [("whitened", 1e-3), ("bucket", 1e-2), ("buffer", 1e-2)])
def test_the_images_are_the_same_at_any_place_of_a_chain(forked, place, tolerance):
    header, lines = scan()
    expected = list(build_node("cg_sense", {})(iter(lines), Context(header)))
    with forked() as server:
        images = reconstruct(server, place)
    assert difference(images, expected) < tolerance


def test_the_default_target_uses_the_shipped_prior(forked):
    header, lines = scan(settings=replace(SCAN, matrix=(32, 32, 1), n_slices=1, acceleration=1, calibration_lines=0))
    with forked("nila", device="cpu") as server:
        server.send(
            opening(header, '<configuration><property name="steps" value="1"/></configuration>'), *lines, Close()
        )
        messages = server.read_to_end()
        assert kinds(messages) == ["Image", "Image", "Close"]
        assert {message.meta["nilatron_sampler"] for message in messages[:2]} == {"nila_fast", "CG-SENSE"}
        assert server.exit_code() == 0


@pytest.mark.parametrize(
    ("configuration", "settings", "reason"),
    [
        ('<configuration><property name="stepz" value="3"/></configuration>', {}, "has no property 'stepz'"),
        ("this is no XML", {}, "is not XML"),
        ("<configuration/>", {"IDLE_S": "soon"}, "'idle_s' cannot be 'soon'"),
        ("<configuration/>", {"PATIENCE": "1"}, "has no property 'patience'"),
    ],
)
def test_a_failure_at_the_start_reaches_the_server_as_an_error_before_the_end(forked, configuration, settings, reason):
    header, lines = scan()
    with forked(**settings) as server:
        server.send(opening(header, configuration), *lines, Close())
        error, close = server.read_to_end()
        assert reason in error.text
        assert isinstance(close, Close)
        assert server.exit_code() == 3


@pytest.mark.parametrize(("n_good", "n_images"), [(0, 0), (52, 1)])
def test_a_bad_line_ends_in_an_error_after_the_images_that_could_be_made(forked, n_good, n_images):
    header, lines = scan()
    bad = ismrmrd.Acquisition.from_array(np.ones((4, 96), np.complex64))
    bad.idx.kspace_encode_step_1 = 999
    with forked() as server:
        server.send(opening(header), *lines[:n_good], bad, *lines[n_good:], Close())
        messages = server.read_to_end()
        assert kinds(messages) == ["Image"] * n_images + ["Error", "Close"]
        assert "kspace_encode_step_1 = 999, outside" in messages[n_images].text
        assert server.exit_code() == 3


def first_slice(server, **kwargs):
    """Send what gives the first image, and wait for it."""
    header, lines = scan()
    server.send(opening(header, **kwargs), *lines[:60])
    server.read_messages(1)
    return lines[60:]


def test_images_arrive_while_lines_are_still_to_come(forked):
    with forked() as server:
        rest = first_slice(server)
        server.send(*rest, Close())
        assert kinds(server.read_to_end()) == ["Image", "Image", "Close"]


@pytest.mark.parametrize("n_bytes", [0, 600])
def test_the_node_ends_when_the_server_vanishes(forked, n_bytes):
    _, lines = scan()
    with forked() as server:
        first_slice(server)
        server.send(message_bytes(lines[-1])[:n_bytes])
        server.socket.close()
        assert server.exit_code() in (3, 4)


def test_the_node_ends_when_the_connection_is_reset(forked):
    with forked() as server:
        first_slice(server)
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.socket.close()
        assert server.exit_code() == 4
