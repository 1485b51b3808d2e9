import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from ismrmrd.xsd import ToXML

from nilatron.core.errors import BadInputError
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.conversation.conversation import Opening, run_conversation
from nilatron.pipelines.node import session as node_session
from nilatron.pipelines.node.session import NodeSettings, prepare_warm, settings_from
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Connection

HEADER = (
    b"<ismrmrdHeader><encoding><encodedSpace><matrixSize><x>64</x><y>24</y><z>1</z></matrixSize><fieldOfView_mm><x>64</x>"
    b"<y>24</y><z>5</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>32</x><y>24</y><z>1</z></matrixSize>"
    b"<fieldOfView_mm><x>32</x><y>24</y><z>5</z></fieldOfView_mm></reconSpace><trajectory>cartesian</trajectory></encoding>"
    b"</ismrmrdHeader>"
)
ON_CPU = NodeSettings(device="cpu")


def test_settings_come_from_the_environment():
    environment = {"NILATRON_NODE_IDLE_S": "12.5", "NILATRON_NODE_MEMORY_GIB": "3", "PATH": "/bin"}
    assert settings_from(environment) == NodeSettings(idle_s=12.5, memory_gib=3.0)
    assert settings_from({}) == NodeSettings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("END_S", "0", "must be positive"), ("MEMORY_GIB", "-1", "must be positive"), ("IDLE", "1", "no property 'idle'")],
)
def test_settings_that_cannot_be_used_are_refused(name, value, message):
    with pytest.raises(SettingsError, match=message):
        settings_from({f"NILATRON_NODE_{name}": value})


@pytest.fixture
def evaluations(monkeypatch):
    """Shapes of the images that the network was run on; `error` is raised instead where it is set."""
    from nilatron.gadgets.nila import prior as room

    seen = SimpleNamespace(shapes=[], error=None)

    def estimate(x, sigma):
        assert sigma > 0
        if seen.error is not None:
            raise seen.error
        seen.shapes.append(tuple(x.shape))
        return x

    prior = SimpleNamespace(prior=SimpleNamespace(estimate=estimate))
    monkeypatch.setattr(room, "prior_for", lambda *_: prior)
    return seen


def test_the_network_is_run_once_on_images_of_the_scans_size(evaluations):
    _, context = prepare_warm(Opening("nila", b"", HEADER), ON_CPU)
    assert evaluations.shapes == [(1, 24, 32), (1, 32, 24)]
    assert context.device == "cpu"


def test_targets_without_network_load_none(evaluations):
    prepare_warm(Opening("cg_sense", b"<configuration/>", HEADER), ON_CPU)
    assert evaluations.shapes == []


def test_a_network_that_does_not_run_is_left_to_the_fall_back_and_bad_weights_are_an_error(evaluations, caplog):
    evaluations.error = RuntimeError("CUDA out of memory")
    prepare_warm(Opening("nila", b"", HEADER), ON_CPU)
    assert "CUDA out of memory" in caplog.text
    evaluations.error = BadInputError("no weights")
    with pytest.raises(BadInputError, match="no weights"):
        prepare_warm(Opening("nila", b"", HEADER), ON_CPU)


def test_when_the_gpu_has_no_memory_left_conventional_images_arrive_and_an_error(monkeypatch):
    def without_memory(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(METHODS, "nila", replace(METHODS["nila"], run=without_memory))
    header, items = simulate_items(SimulationSettings(matrix=(24, 24, 1), n_coils=2, n_slices=2, noise_lines=4))
    here, there = socket.socketpair()
    opening = Opening(
        "nila", b'<configuration><property name="series" value="nila"/></configuration>', ToXML(header).encode()
    )
    with Connection(there) as peer, ThreadPoolExecutor() as threads:
        report = threads.submit(run_conversation, Connection(here), opening, device="cpu")
        for message in (*items, Close()):
            peer.send(message)
        *images, error = peer
        peer.close()
    assert [image.meta["nilatron_sampler"] for image in images] == ["CG-SENSE"] * 2
    assert "slice 1: nila failed (OutOfMemoryError: CUDA out of memory)" in error.text
    assert (report.result().outcome, report.result().n_images) == ("failed", 2)


def test_every_outcome_has_an_exit_code():
    assert node_session.EXIT_CODES == {"complete": 0, "failed": 3, "peer gone": 4}
