"""Conversations with a running server, as its different callers hold them."""

import json
import logging
import socket
import struct
import time
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest

from nilatron import __version__
from nilatron.gadgets.items import Context
from nilatron.pipelines.chain.find import find_chain, load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.server.session import Session
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.simulation.simulate import SimulationSettings
from nilatron.pipelines.wire import Close, Config, ConfigName, Error, Header, Query, Response, Text

EMPTY = 'nilatron_scans_total{outcome="empty"}'


def in_this_process(chain, scan):
    header, items = scan
    return list(run_chain(load_chain(chain), iter(items), Context(parse_header(header))))


def same(images, expected):
    assert len(images) == len(expected) > 0
    for got, want in zip(images, expected, strict=True):
        assert (got.image_series_index, got.image_index) == (want.image_series_index, want.image_index)
        assert np.linalg.norm(got.data - want.data) <= 1e-3 * np.linalg.norm(want.data)


def test_a_stock_client_gets_the_images_of_the_embedded_host(server, talk, scan):
    images, errors = talk(server, "cg_sense.xml")
    assert not errors
    same(images, in_this_process("cg_sense", scan))


def test_gadgetrons_connect_gets_images_of_the_target_it_configures(server, talk):
    configuration = (
        '<configuration><property name="target" value="nila"/><property name="steps" value="3"/></configuration>'
    )
    images, errors = talk(server, Config.of(configuration))
    assert not errors
    assert {image.image_series_index for image in images} == {1, 2}
    assert all(image.meta["nilatron_steps"] == "3" for image in images if image.image_series_index == 1)


def test_the_worker_gives_the_images_of_this_process(server, talk, scan, tiny_weights):
    from nilatron.gadgets.node import build_node

    header, items = scan
    expected = list(build_node("nila", {}, tiny_weights)(iter(items), Context(parse_header(header))))
    images, _ = talk(server, Config(b'<?xml version="1.0"?>\n'))  # what Gadgetron sends for no configuration
    same(images, expected)


def test_a_chain_with_stock_gadgets_around_the_node(server, talk):
    images, errors = talk(server, "nila_after_gadgetron")
    assert not errors
    assert len(images) == 4
    assert all(image.data.dtype == np.uint16 for image in images)


@pytest.mark.parametrize("chain", ["nila", "nila_after_gadgetron"])
def test_fire_gets_int16_and_its_parameters_are_heeded(server, talk, chain):
    parameters = json.dumps({"version": "1", "parameters": {"config": chain, "steps": 4, "customconfig": ""}})
    images, errors = talk(server, "openrecon", texts=[parameters])
    assert not errors
    assert len(images) == 4
    for image in images:
        assert image.data.dtype == np.int16
        assert image.data.max() > 10
        assert "ImageComment" in image.meta
        assert "GADGETRON_ImageComment" in image.meta
    assert {image.meta.get("nilatron_steps") for image in images} == {"4", None}


def test_fires_parameters_as_the_configuration(server, talk):
    images, errors = talk(server, Config.of(json.dumps({"parameters": {"config": "cg_sense"}})))
    assert not errors
    assert [image.data.dtype for image in images] == [np.int16] * 2


OWN = {
    "config": "cg_sense",
    "customconfig": "",
    "sendOriginal": True,
    "options": "complex",
    "nested": {"a": [1]},
    "list": [],
    "none": None,
}


@pytest.mark.parametrize(
    ("asked", "texts"),
    [("openrecon", [json.dumps({"parameters": OWN})]), (Config.of(json.dumps({"parameters": OWN})), [])],
)
def test_fires_own_parameters_do_not_stop_a_scan(server, talk, asked, texts):
    images, errors = talk(server, asked, texts=texts)
    assert not errors
    assert [image.data.dtype for image in images] == [np.int16] * 2


def test_fire_gets_int16_without_parameters(server, talk, make_server):
    images, errors = talk(server, "openrecon")
    assert not errors
    assert {image.data.dtype for image in images} == {np.dtype(np.int16)}
    images, errors = talk(make_server("--fire"), "cg_sense.xml")
    assert not errors
    assert [image.data.dtype for image in images] == [np.int16] * 2


def test_texts_for_fire_begin_with_their_level(make_server, talk, scan):
    server = make_server("--fire")
    header, items = scan
    _, errors = talk(server, "cg_sense", (header, items[:-3]))
    texts = [error.text for error in errors]
    assert texts[-1].startswith("ERR nilatron cg_sense: ")
    assert all(text.startswith("WRN ") for text in texts[:-1])
    _, (error,) = talk(server, "no_such_chain")
    assert error.text.startswith("ERR nilatron server: unknown chain")


@pytest.mark.parametrize(
    ("asked", "texts", "kind", "reason"),
    [
        ("no_such_chain", [], Text, "unknown chain"),
        ("savedataonly", [], Text, "only store raw data"),
        ("../../etc/passwd", [], Text, "without folders"),
        (Config.of("<configuration><property name='steps' value='many'/></configuration>"), [], Error, "whole number"),
        ("nila", ['{"parameters": {"stepz": 3}}'], Text, "no property 'stepz'"),
        ("nila", ["{no json"], Text, "not JSON"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_callers_way(server, talk, asked, texts, kind, reason):
    images, errors = talk(server, asked, texts=texts)
    assert not images
    assert [type(error) for error in errors] == [kind]
    assert reason in errors[0].text


def send_lines(server, scan, encoded):
    """Send a scan of acquisitions that are given as bytes."""
    connection = server.connect()
    connection.send(ConfigName("cg_sense.xml"))
    connection.send(Header.of(scan[0]))
    connection.socket.sendall(encoded)
    connection.send(Close())
    return connection


def test_compressed_lines_give_the_images_of_plain_ones(server, talk, scan, compressed):
    lines = [item for item in scan[1] if isinstance(item, ismrmrd.Acquisition)]
    images, errors = talk.replies(send_lines(server, scan, b"".join(compressed(line, 16) for line in lines)))
    assert not errors
    same(images, in_this_process("cg_sense", scan))


def test_lines_compressed_with_zfp_are_refused_by_name(server, talk, scan, compressed):
    encoded = b"".join(compressed(line, flag=ismrmrd.ACQ_COMPRESSION1) for line in scan[1][:3])
    images, errors = talk.replies(send_lines(server, scan, encoded))
    assert not images
    assert "compressed with ZFP, which this end cannot unpack" in errors[0].text


def test_queries_are_answered_and_no_scan_is_expected_after_them(server):
    connection = server.connect()
    connection.send(Query.of("gadgetron::info"))
    answer = connection.receive()
    assert isinstance(answer, Response)
    assert "Nilatron" in answer.text
    connection.send(Close())
    with connection:
        assert list(connection) == []


@pytest.mark.parametrize("how", ["closed", "reset", "half closed"])
def test_a_connection_without_a_byte_is_no_crash(server, how):
    n_before, n_empty = len(server.lines), server.metric(EMPTY) or 0
    sock = server.connect().socket
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "half closed":
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(10) == struct.pack("<H", 4)
    sock.close()
    deadline = time.monotonic() + 30
    while server.metric(EMPTY) in (None, n_empty) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.metric(EMPTY) > n_empty
    assert not [line for line in server.lines[n_before:] if "Traceback" in line["message"]]


def test_the_closing_line_names_the_gadget_in_front_that_failed(server, talk, scan):
    header, items = scan
    (server.config_dir / "front.xml").write_bytes(
        find_chain("nila_after_gadgetron").xml.replace(
            b"<classname>NoiseAdjustGadget</classname>",
            b'<classname>NoiseAdjustGadget</classname><property name="pass_nonconformant_data" value="false"/>',
        )
    )
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    at = next(n for n, line in enumerate(lines) if line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
    head = lines[at].getHead()
    head.active_channels -= 1
    lines[at] = ismrmrd.Acquisition(head, lines[at].data[1:].copy(), lines[at].traj)
    images, errors = talk(server, "front", (header, lines))
    assert not images
    assert "NoiseAdjustGadget: line" in errors[0].text
    ended = server.wait_for("scan ended", scan=server.wait_for("scan begins", chain="front")["scan"])
    assert ended["outcome"] == "failed"
    assert ended["error"].startswith("NoiseAdjustGadget: line")
    assert ended["expected"] == 4


def test_bytes_that_are_no_protocol_are_answered_with_an_error(server):
    connection = server.connect()
    connection.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with connection:
        messages = list(connection)
    assert [type(message) for message in messages] == [Error]
    assert "unknown" in messages[0].text


def test_the_log_names_the_measurement(server, talk):
    talk(server, "cg_sense")
    line = server.wait_for("complete")
    assert line["measurement"]
    assert line["part"] == "session"
    assert line["scan"] > 0


def test_ipv6_callers_find_it_too(server):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with socket.create_connection(("::1", server.port), timeout=10):
        pass


def test_noise_is_kept_for_the_scans_that_depend_on_it(make_server, talk, noise_measurement, tmp_path):
    server = make_server("--noise-store", str(tmp_path / "store"))
    settings = SimulationSettings(matrix=(32, 32, 1), n_coils=3, noise_std=0.05, noise_gain_spread=6.0)
    header, items = noise_measurement(settings, "ABC", "../../noise_7")
    noise = [item for item in items if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    assert talk(server, "cg_sense", scan=(ismrmrd.xsd.ToXML(header), noise)) == ([], [])
    server.wait_for("scan ended", outcome="complete")
    assert not [line for line in server.lines if line.get("level") in ("ERROR", "WARNING")]
    assert [path.parent for path in tmp_path.rglob("*.safetensors")] == [tmp_path / "store"]
    header, items = noise_measurement(settings, "ABC", "scan_8", "../../noise_7")
    imaging = [item for item in items if not item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    (image,), errors = talk(server, "cg_sense", scan=(ismrmrd.xsd.ToXML(header), imaging))
    (expected,), _ = talk(server, "cg_sense", scan=(ismrmrd.xsd.ToXML(header), items))
    assert errors == []
    assert image.meta["nilatron_noise_source"] == "store"
    assert image.meta["nilatron_noise_measurement"] == "../../noise_7"
    assert np.linalg.norm(image.data - expected.data) < 1e-3 * np.linalg.norm(expected.data)


def test_without_a_store_noise_alone_ends_well_and_the_log_names_the_option(server, talk, noise_measurement):
    header, items = noise_measurement(SimulationSettings(matrix=(32, 32, 1), n_coils=3), "ABC", "noise_7")
    noise = [item for item in items if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    assert talk(server, "cg_sense", scan=(ismrmrd.xsd.ToXML(header), noise)) == ([], [])
    server.wait_for("--noise-store DIR")


@pytest.mark.parametrize("verbose", [False, True])
def test_fire_is_told_of_problems_as_they_arise(verbose):
    sent = []
    session = Session(SimpleNamespace(send=lambda text: sent.append(text.text)), None, ServeSettings(verbose=verbose))
    context = Context(None)

    def images():
        for number in range(3):
            if number:
                context.log.problem(logging.getLogger(__name__), f"problem {number}")
            image = ismrmrd.Image.from_array(np.zeros((1, 1, 2, 2), np.int16))
            image.image_series_index = 1 + number % 2
            yield image

    for number, _ in enumerate(session.for_fire(images(), context)):
        assert [text for text in sent if text.startswith("WRN")] == [f"WRN problem {n}" for n in range(1, number + 1)]
    told = [f"DBG nilatron {__version__}", "DBG series 1: 2 images", "DBG series 2: 1 image"]
    assert [text for text in sent if not text.startswith("WRN")] == (told if verbose else [])
