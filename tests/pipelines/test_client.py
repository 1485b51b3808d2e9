"""The client against servers of ismrmrd's own stream classes, well-behaved and not."""

import socket
import struct
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer

from nilatron.pipelines.client import ClientTimeouts, Exchange, ServerError, connected
from nilatron.pipelines.client_request import Address
from nilatron.pipelines.files import InputError
from nilatron.pipelines.wire import ConfigName, Dicom, Error, Header, UnsendableError, encode

HEADER = ismrmrd.xsd.ToXML(
    ismrmrd.xsd.ismrmrdHeader(experimentalConditions=ismrmrd.xsd.experimentalConditionsType(H1resonanceFrequency_Hz=1))
).encode()
QUICK = ClientTimeouts(connect_s=5, message_s=5, idle_s=5, last_words_s=0.3)
N_LINES = 12
LARGE = (1024, 2048)  # 8 MB


def line(number, n_samples=64):
    made = ismrmrd.Acquisition.from_array(np.full((2, n_samples), number, np.complex64))
    made.scan_counter = number
    made.acquisition_time_stamp = 400 + 4 * number
    return made


def image(number, shape=(8, 8)):
    made = ismrmrd.Image.from_array(np.full((1, *shape), number, np.float32))
    made.image_index = number
    return made


def lines():
    return (line(number) for number in range(N_LINES))


def exchange(address, items=None, timeouts=QUICK, came=lambda: None, **options):
    """Images' indices, what went wrong, and what else came; `came` is called for every image."""
    found, error = [], None
    with connected(address, timeouts) as connection:
        opening = (ConfigName("cg_sense.xml"), Header(HEADER))
        talk = Exchange(connection, opening, lines() if items is None else items, timeouts, **options)
        try:
            for made in talk.images():
                found.append(made.image_index)
                came()
        except ServerError as problem:
            error = problem
    return found, error, talk.reply


def peer(answer):
    """A server of ismrmrd's stream classes; `answer` is given its reader (a generator) and its writer."""

    def run(sock):
        with sock.makefile("rb") as incoming:
            writer = ProtocolSerializer(SimpleNamespace(write=sock.sendall, flush=int))
            answer(ProtocolDeserializer(incoming).deserialize(), writer)

    return run


def one_image_a_line(reader, writer):
    for item in reader:
        if isinstance(item, ismrmrd.Acquisition):
            writer.serialize(image(item.scan_counter))
    writer.close()


def test_every_image_comes_back(serve):
    found, error, reply = exchange(serve(peer(one_image_a_line)))
    assert (found, error) == (list(range(N_LINES)), None)
    assert (reply.n_images, reply.errors, reply.others) == (N_LINES, [], {})


def test_the_server_gets_configuration_header_items_and_close_in_this_order(serve):
    got = []

    def answer(reader, writer):
        got.extend(reader)
        writer.close()

    waveform = ismrmrd.Waveform.from_array(np.arange(6, dtype=np.uint32).reshape(2, 3))
    noise = line(0)
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    exchange(serve(peer(answer)), [noise, waveform, line(1), line(2)])
    assert [type(item).__name__ for item in got] == [
        "ConfigFile", "ismrmrdHeader", "Acquisition", "Waveform", "Acquisition", "Acquisition",
    ]  # fmt: skip
    assert got[0] == ConfigFile("cg_sense.xml")
    assert got[2].is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    np.testing.assert_array_equal(got[3].data, waveform.data)
    np.testing.assert_array_equal(got[5].data, line(2).data)


def test_images_are_taken_while_lines_still_go_out(serve):
    """Both directions are larger than the buffers of the system: who only sends, or only receives, stands still."""

    def answer(reader, writer):
        for item in reader:
            if isinstance(item, ismrmrd.Acquisition):
                writer.serialize(image(item.scan_counter, LARGE))
        writer.close()

    found, error, _ = exchange(serve(peer(answer)), (line(number, 60000) for number in range(8)))
    assert (found, error) == (list(range(8)), None)


def test_an_image_that_comes_before_the_last_line_is_handed_over_before_it(serve):
    handed_over = threading.Event()

    def items():
        yield line(0)
        assert handed_over.wait(10)
        yield line(1)

    address = serve(peer(one_image_a_line))
    with connected(address, QUICK) as connection:
        images = Exchange(connection, (ConfigName("x"), Header(HEADER)), items(), QUICK).images()
        assert next(images).image_index == 0
        handed_over.set()
        assert [image.image_index for image in images] == [1]


@pytest.mark.parametrize("kind", ["text", "error"])
def test_what_the_server_says_is_the_reason(serve, kind):
    def answer(reader, writer):
        list(reader)
        writer.serialize(image(1))
        if kind == "text":
            writer.serialize("NoiseAdjustGadget: Unknown error\0")
        else:
            writer._stream.write(b"".join(map(bytes, encode(Error.of("NoiseAdjustGadget: Unknown error")))))
        writer.close()

    found, error, _ = exchange(serve(peer(answer)))
    assert found == [1]
    assert str(error) == "NoiseAdjustGadget: Unknown error"
    assert error.said


def test_log_lines_of_a_server_are_no_errors(serve):
    def answer(reader, writer):
        list(reader)
        writer.serialize("INFO  measurement received")
        writer.serialize(image(1))
        writer.close()

    found, error, reply = exchange(serve(peer(answer)))
    assert (found, error, reply.remarks) == ([1], None, ["INFO  measurement received"])


def test_images_that_came_before_an_early_end_are_kept(serve):
    came = threading.Event()

    def answer(reader, writer):
        for _ in range(5):
            next(reader)
        writer.serialize(image(1))
        assert came.wait(10)  # it goes with unread input, which resets the connection

    items = (line(number, 60000) for number in range(100))
    found, error, _ = exchange(serve(peer(answer)), items, came=came.set)
    assert found == [1]
    assert "closed the connection without CLOSE" in str(error) or "the connection broke" in str(error)
    assert not error.said


def test_close_before_everything_was_taken(serve):
    def answer(reader, writer):
        next(reader)
        writer.serialize(image(1))
        writer.close()
        for _ in reader:
            pass

    slow = threading.Event()

    def items():
        yield line(0)
        slow.wait(0.5)
        yield line(1)

    try:
        found, error, _ = exchange(serve(peer(until_hung_up(answer))), items())
    finally:
        slow.set()
    assert found == [1]
    assert str(error) == "the server ended the scan before it had taken everything"


def until_hung_up(answer):
    """The same server, for which a client that hangs up is no failure."""

    def run(*ends):
        with suppress(EOFError, OSError):
            answer(*ends)

    return run


def test_an_image_cut_in_the_middle_is_not_handed_over(serve):
    def answer(sock):
        whole = b"".join(map(bytes, encode(image(1)))) + b"".join(map(bytes, encode(image(2))))
        sock.sendall(whole[:-10])
        drain(sock)

    found, error, _ = exchange(serve(answer))
    assert found == [1]
    assert "ended inside a message" in str(error)


def drain(sock):
    """Take everything up to CLOSE, or until the client hangs up, so that the end is no reset."""
    end = piece = b"?"
    while piece and end != struct.pack("<H", 4):
        piece = sock.recv(1 << 16)
        end = (end + piece)[-2:]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (struct.pack("<H", 999), "message id 999 is unknown"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is unknown"),
        (struct.pack("<HI", 5, 0xFFFFFFFF), "Limits.text_bytes"),
    ],
)
def test_bytes_that_are_no_message(serve, sent, reason):
    def answer(sock):
        sock.sendall(sent)
        drain(sock)

    found, error, _ = exchange(serve(until_hung_up(answer)))
    assert found == []
    assert reason in str(error)


def test_messages_that_are_no_images_are_counted(serve):
    def answer(reader, writer):
        list(reader)
        writer._stream.write(b"".join(map(bytes, encode(Dicom(b"DICM")))))
        writer.serialize(image(1))
        writer.close()

    found, error, reply = exchange(serve(peer(answer)))
    assert (found, error, reply.others) == ([1], None, {"Dicom": 1})


def test_silence_after_the_last_line(serve):
    over = threading.Event()

    def answer(sock):
        drain(sock)
        over.wait(10)

    started = time.monotonic()
    found, error, _ = exchange(serve(answer), timeouts=ClientTimeouts(idle_s=0.3))
    over.set()
    assert found == []
    assert str(error) == "nothing came from the server for 0.3 s"
    assert time.monotonic() - started < 5


def test_a_whole_scan_that_takes_too_long(serve):
    over = threading.Event()

    def answer(reader, writer):
        number = 0
        while not over.wait(0.05):
            number += 1
            writer.serialize(image(number))
        list(reader)

    found, error, _ = exchange(serve(peer(until_hung_up(answer))), timeouts=ClientTimeouts(whole_s=0.5))
    over.set()
    assert found
    assert str(error) == "not finished after 0.5 s"


def test_a_server_that_never_reads(serve):
    over = threading.Event()
    address = serve(lambda _: over.wait(20) and None)
    timeouts = ClientTimeouts(message_s=0.3, idle_s=60, last_words_s=0.2)
    found, error, _ = exchange(address, (line(number, 60000) for number in range(100)), timeouts)
    over.set()
    assert found == []
    assert "the other end took nothing for 0.3 s" in str(error)


def test_last_words_of_a_server_that_takes_nothing_more(serve):
    def answer(sock):
        sock.recv(1000)
        sock.sendall(b"".join(map(bytes, encode(Error.of("out of memory")))) + struct.pack("<H", 4))

    _, error, _ = exchange(serve(answer), (line(number, 60000) for number in range(200)))
    assert "out of memory" in str(error)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ServerError, match=rf"cannot connect to 127.0.0.1:{port}: Connection refused; does the"):
        exchange(Address("127.0.0.1", port))


def test_an_unknown_host():
    with pytest.raises(ServerError, match=r"cannot connect to nobody\.invalid:9002"):
        exchange(Address("nobody.invalid", 9002))


def test_input_that_breaks_off_is_raised_as_it_is(serve):
    def items():
        yield line(0)
        raise InputError("line 1 has 3 values that are not finite")

    address = serve(peer(until_hung_up(one_image_a_line)))
    with pytest.raises(InputError, match="line 1 has"):
        exchange(address, items())


def test_an_item_that_no_message_can_carry(serve):
    address = serve(peer(until_hung_up(one_image_a_line)))
    with pytest.raises(UnsendableError):
        exchange(address, [line(0), "a line"])


def test_leaving_early_hangs_up(serve):
    gone = threading.Event()

    def answer(sock):
        sock.sendall(b"".join(map(bytes, encode(image(1)))))
        with suppress(ConnectionResetError):
            while sock.recv(1 << 16):
                pass
        gone.set()

    address, waits = serve(answer), threading.Event()

    def items():
        yield line(0)
        waits.wait(0.2)
        yield line(1)

    with connected(address, QUICK) as connection:
        images = Exchange(connection, (), items(), QUICK).images()
        next(images)
        images.close()
        assert gone.wait(5)


def test_real_time_sends_no_sooner_than_the_stamps_say(serve):
    started = time.monotonic()
    found, error, _ = exchange(serve(peer(one_image_a_line)), real_time=True)
    assert (len(found), error) == (N_LINES, None)
    assert time.monotonic() - started >= (N_LINES - 1) * 4 * 0.0025


def test_a_pause_of_real_time_ends_with_the_scan(serve):
    late = line(2)
    late.acquisition_time_stamp = 1_000_000
    timeouts = ClientTimeouts(whole_s=0.3)
    started = time.monotonic()
    _, error, _ = exchange(serve(peer(until_hung_up(one_image_a_line))), [line(1), late], timeouts, real_time=True)
    assert str(error) == "not finished after 0.3 s"
    assert time.monotonic() - started < 5
