"""Bytes that a real Gadgetron server sent to a node, as the input of ours."""

import socket
import threading
from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.conversation.conversation import ConversationSettings, Opening, run_conversation
from nilatron.pipelines.wire import Connection, Decoder, Error

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "wire"
pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def reconstructed():
    """Report, images by (slice, contrast, repetition) and the error that the server received, for the name of a recording."""
    if not FOLDER.is_dir():
        pytest.skip("shared/wire is not beside the checkout")
    known = {}

    def run(name, target="cg_sense"):
        if name not in known:
            known[name] = converse((FOLDER / f"{name}.bin").read_bytes(), target)
        return known[name]

    return run


def converse(recorded, target):
    here, there = socket.socketpair()
    received = bytearray()

    def server():
        threading.Thread(target=there.sendall, args=(recorded,), daemon=True).start()
        while chunk := there.recv(1 << 20):
            received.extend(chunk)
        there.close()

    thread = threading.Thread(target=server, daemon=True)
    thread.start()
    connection = Connection(here)
    _, header = connection.receive(), connection.receive()  # the recorded configuration was for another node
    opening = Opening(target, b"<configuration/>", header.content)
    report = run_conversation(connection, opening, device="cpu", settings=ConversationSettings(end_s=5))
    thread.join(30)
    messages = list(Decoder().feed(bytes(received)))
    images = {(m.slice, m.contrast, m.repetition): abs(m.data[0]) for m in messages if isinstance(m, ismrmrd.Image)}
    return report, images, next((m.text for m in messages if isinstance(m, Error)), None)


@pytest.mark.parametrize(
    ("name", "n_images", "shape"),
    [
        ("node_raw", 2, (1, 48, 48)),
        ("node_whitened", 2, (1, 48, 48)),
        ("node_bucket", 2, (1, 48, 48)),
        ("node_buffer", 2, (1, 48, 48)),
        ("node_buffer_refprep", 2, (1, 48, 48)),
        ("client_by_name", 2, (1, 48, 48)),
        ("node_raw_grappa2_1rep", 1, (1, 256, 256)),
        ("node_whitened_brain_8ch_R4", 1, (1, 230, 180)),
        ("node_buffer_brain_8ch_R4", 1, (1, 230, 180)),
    ],
)
def test_its_k_space_reconstructs(reconstructed, name, n_images, shape):
    report, images, error = reconstructed(name)
    assert (report.outcome, report.error, error) == ("complete", None, None)
    assert len(images) == report.n_expected == n_images
    assert all(image.shape == shape and np.all(np.isfinite(image)) and image.max() > 0 for image in images.values())


@pytest.mark.parametrize(
    ("name", "reference", "tolerance"),
    [
        ("node_whitened", "node_raw", 1e-3),
        ("client_by_name", "node_raw", 1e-6),
        ("node_bucket", "node_raw", 1e-2),
        ("node_buffer", "node_raw", 1e-2),
        ("node_buffer_refprep", "node_raw", 1e-2),
        ("node_buffer_brain_8ch_R4", "node_whitened_brain_8ch_R4", 1e-2),
    ],
)
def test_the_way_of_the_data_makes_no_difference(reconstructed, name, reference, tolerance):
    got, expected = reconstructed(name)[1], reconstructed(reference)[1]
    assert got.keys() == expected.keys()
    for key, image in expected.items():
        assert np.linalg.norm(got[key] - image) < tolerance * np.linalg.norm(image)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("node_image", "passed on unchanged: this node reconstructs raw data"),
        ("node_imagearray", "reconstructed already"),
    ],
)
def test_what_was_reconstructed_already_is_no_success(reconstructed, name, advice):
    report, _, error = reconstructed(name)
    assert report.outcome == "failed"
    assert advice in error
