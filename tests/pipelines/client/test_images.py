"""Replay through a server: the same files as in this process, and what is kept when the server fails."""

import socket
from dataclasses import replace

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets import methods
from nilatron.pipelines.chain.find import find_chain, parse_chain
from nilatron.pipelines.client.exchange import ClientTimeouts, ServerError
from nilatron.pipelines.client.images import RemoteSettings
from nilatron.pipelines.client.request import Request, request_for
from nilatron.pipelines.conversation.conversation import ConversationSettings, Opening, run_conversation
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate
from nilatron.pipelines.wire import Close, Config, ConfigName, Connection, Header, Text, Timeouts

SCAN = SimulationSettings(
    matrix=(24, 20, 1), n_coils=3, n_slices=3, acceleration=2, calibration_lines=8, noise_lines=3, waveform_every=5
)
QUICK = ClientTimeouts(connect_s=5, message_s=10, idle_s=10)


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "raw.h5"
    simulate(path, SCAN)
    return path


def stored(path):
    """Attributes, headers and pixels of every image of every series."""
    found = {}
    with h5py.File(path) as file:
        for name, series in file["images"].items():
            heads = series["header"][:]
            heads["attribute_string_len"] = 0  # the wire sets it
            found[name] = [list(series["attributes"][:]), heads.tobytes(), series["data"][:].tobytes()]
    return found


def nilatron(sock):
    """Be a server: look chains up by name or take their content, answer with our own node."""
    connection = Connection(sock, timeouts=Timeouts(10, 10, 10))
    asked, header = connection.receive(), connection.receive()
    assert isinstance(header, Header)
    xml = asked.content if isinstance(asked, Config) else find_chain(asked.name, allow_paths=False).xml
    node = parse_chain(xml).stream[0]
    opening = Opening(node.target, node.configuration_xml.encode(), header.content)
    run_conversation(connection, opening, device="cpu", settings=ConversationSettings(end_s=5, errors_as="text"))


def lines_then(*messages, n_lines=None):
    """Be a server that takes so many lines (all: up to CLOSE), says something and goes."""

    def answer(sock):
        connection = Connection(sock, timeouts=Timeouts(10, 10, 10))
        n_left = -1 if n_lines is None else n_lines
        while n_left and not isinstance(message := connection.receive(), Close):
            n_left -= isinstance(message, ismrmrd.Acquisition)
        for message in messages:
            connection.send(message)
        sock.settimeout(20)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):  # unread input would reset the connection, and take the images with it
            pass

    return answer


def image(index, fallback=None):
    made = ismrmrd.Image.from_array(np.full((1, 8, 8), index, np.float32))
    made.image_series_index, made.image_index, made.slice = 1, index, index - 1
    made.meta = {"nilatron_fallback": fallback} if fallback else {"ImageComment": "fine"}
    return made


def through(address, raw, output, chain="cg_sense", **options):
    request = chain if isinstance(chain, Request) else request_for(str(chain))
    settings = ReplaySettings(raw, output, output_group="images", overwrite=True)
    return replay(replace(settings, remote=RemoteSettings(address, request, QUICK), **options))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["name", "content"])
def test_a_server_gives_the_files_that_this_process_gives(raw, tmp_path, serve, way):
    chain = "cg_sense"
    if way == "content":
        chain = tmp_path / "mine.xml"
        chain.write_bytes(find_chain("cg_sense").xml)
    here = replay(ReplaySettings(raw, tmp_path / "here.h5", "cg_sense", output_group="images"))
    there = through(serve(nilatron), raw, tmp_path / "there.h5", chain, png=tmp_path / "png")
    assert here.complete
    assert there.complete
    assert (there.n_images, there.n_expected) == (here.n_images, here.n_expected) == (3, 3)
    assert stored(tmp_path / "there.h5") == stored(tmp_path / "here.h5")
    assert len(list((tmp_path / "png").iterdir())) == 3


def test_noise_of_another_file_goes_in_place_of_the_scans_own(raw, tmp_path, serve):
    kinds = []

    def answer(sock):
        connection = Connection(sock, timeouts=Timeouts(10, 10, 10))
        for message in connection:
            if isinstance(message, ismrmrd.Acquisition):
                kinds.append(bool(message.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)))
        for number in (1, 2, 3):
            connection.send(image(number))
        connection.send(Close())
        connection.close()

    simulate(tmp_path / "noise.h5", replace(SCAN, noise_lines=7, n_slices=1))
    through(serve(answer), raw, tmp_path / "out.h5", noise=tmp_path / "noise.h5")
    assert kinds[:7] == [True] * 7
    assert not any(kinds[7:])


def test_a_fall_back_on_the_server_is_one_here(raw, tmp_path, serve, monkeypatch):
    def run(*_):
        raise RuntimeError("the network exploded")

    monkeypatch.setitem(methods.METHODS, "cg_sense", replace(methods.METHODS["cg_sense"], run=run))
    report = through(serve(nilatron), raw, tmp_path / "out.h5")
    assert report.failure is None  # the images themselves say what the server's text says
    assert not report.complete
    assert len(report.log.problems) == report.n_images == 3
    assert report.log.problems[0].startswith("slice ")
    assert "the network exploded" in report.log.problems[0]


def test_an_error_of_the_server_keeps_the_images(raw, tmp_path, serve):
    address = serve(lines_then(image(1), image(2), Text.of("no memory"), Close()))
    report = through(address, raw, tmp_path / "out.h5")
    assert str(report.failure) == "no memory"
    assert not report.complete
    assert (report.n_images, report.n_expected) == (2, 3)
    assert len(stored(tmp_path / "out.h5")["image_1"][0]) == 2


def test_a_connection_that_breaks_keeps_the_images_and_knows_how_many_are_missing(raw, tmp_path, serve):
    report = through(serve(lines_then(image(1), n_lines=4)), raw, tmp_path / "out.h5")
    assert report.failure is not None
    assert not report.failure.from_server
    assert (report.n_images, report.n_expected) == (1, 3)
    assert len(stored(tmp_path / "out.h5")["image_1"][0]) == 1


def test_without_any_image_nothing_is_written(raw, tmp_path, serve):
    with pytest.raises(ServerError, match="no memory"):
        through(serve(lines_then(Text.of("no memory"), Close())), raw, tmp_path / "out.h5", png=tmp_path / "png")
    assert [path.name for path in tmp_path.iterdir()] == ["raw.h5"]


def test_a_silent_success_without_images_is_a_failure(raw, tmp_path, serve):
    with pytest.raises(ServerError, match="ended the scan without an image"):
        through(serve(lines_then(Close())), raw, tmp_path / "out.h5")


def test_fewer_images_than_slices(raw, tmp_path, serve):
    report = through(serve(lines_then(image(1), image(3), Close())), raw, tmp_path / "out.h5")
    assert (report.complete, report.failure) == (False, None)
    assert (report.n_images, report.n_expected) == (2, 3)


def test_the_series_of_our_chains_are_expected(raw, tmp_path, serve):
    request = Request(ConfigName("mine.xml"), series_per_slice=2)
    report = through(serve(lines_then(image(1), image(2), image(3), Close())), raw, tmp_path / "out.h5", request)
    assert (report.n_images, report.n_expected, report.complete) == (3, 6, False)


def test_a_raw_file_that_cannot_be_read_to_its_end(raw, tmp_path, serve):
    with h5py.File(raw, "r+") as file:
        rows = file["dataset/data"][:]
        rows["data"][-1] = rows["data"][-1][:-2]
        file["dataset/data"][:] = rows

    def answer(sock):
        while sock.recv(1 << 16):
            pass

    with pytest.raises(InputError, match="complex samples, its header announces"):
        through(serve(answer), raw, tmp_path / "out.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["raw.h5"]


def test_a_scan_without_imaging_lines(raw, tmp_path, serve):
    with h5py.File(raw, "r+") as file:
        file["dataset/data"].resize(3, axis=0)
    with pytest.raises(InputError, match="expected imaging lines"):
        through(serve(lines_then(Close())), raw, tmp_path / "out.h5")
