"""The client against servers of ismrmrd's own stream classes."""

import threading
import time
import tracemalloc
from contextlib import suppress

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ConfigFile

from nilatron.pipelines.client.exchange import MOST_ERRORS, ClientTimeouts, Exchange, Reply, open_connection
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.wire import ConfigName, Dicom, Error, Text, UnsendableError, encode

QUICK = ClientTimeouts(connect_s=5, message_s=5, idle_s=5, error_message_s=0.3)
N_LINES = 12
LARGE = (1024, 2048)  # 8 MB


@pytest.fixture
def one_image_a_line(image):
    def answer(reader, writer):
        for item in reader:
            if isinstance(item, ismrmrd.Acquisition):
                writer.serialize(image(item.scan_counter))
        writer.close()

    return answer


def test_every_image_comes_back(exchange, serve, peer, one_image_a_line):
    found, error, reply = exchange(serve(peer(one_image_a_line)))
    assert (found, error) == (list(range(N_LINES)), None)
    assert (reply.n_images, reply.errors, reply.others) == (N_LINES, [], {})


def test_the_server_gets_configuration_header_items_and_close_in_this_order(exchange, serve, peer, line):
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


def test_images_are_taken_while_lines_still_go_out(exchange, serve, peer, line, image):
    """Both directions are larger than the buffers of the system: who only sends, or only receives, stands still."""

    def answer(reader, writer):
        for item in reader:
            if isinstance(item, ismrmrd.Acquisition):
                writer.serialize(image(item.scan_counter, LARGE))
        writer.close()

    found, error, _ = exchange(serve(peer(answer)), (line(number, 60000) for number in range(8)))
    assert (found, error) == (list(range(8)), None)


def test_an_image_that_comes_before_the_last_line_is_handed_over_before_it(serve, peer, line, one_image_a_line):
    handed_over = threading.Event()

    def items():
        yield line(0)
        assert handed_over.wait(10)
        yield line(1)

    address = serve(peer(one_image_a_line))
    with open_connection(address, QUICK) as connection:
        images = Exchange(connection, (ConfigName("x"),), items(), QUICK).images()
        assert next(images).image_index == 0
        handed_over.set()
        assert [image.image_index for image in images] == [1]


@pytest.mark.parametrize("kind", ["text", "error"])
def test_what_the_server_says_is_the_reason(exchange, serve, peer, kind, image):
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
    assert error.from_server


def test_log_lines_of_a_server_are_no_errors(exchange, serve, peer, image):
    def answer(reader, writer):
        list(reader)
        writer.serialize("INFO  measurement received")
        writer.serialize(image(1))
        writer.close()

    found, error, reply = exchange(serve(peer(answer)))
    assert (found, error, reply.log_lines) == ([1], None, ["INFO  measurement received"])


def test_messages_that_are_no_images_are_counted(exchange, serve, peer, image):
    def answer(reader, writer):
        list(reader)
        writer._stream.write(b"".join(map(bytes, encode(Dicom(b"DICM")))))
        writer.serialize(image(1))
        writer.close()

    found, error, reply = exchange(serve(peer(answer)))
    assert (found, error, reply.others) == ([1], None, {"Dicom": 1})


def test_input_that_breaks_off_is_raised_as_it_is(exchange, serve, peer, line, until_hung_up, one_image_a_line):
    def items():
        yield line(0)
        raise InputError("line 1 has 3 values that are not finite")

    address = serve(peer(until_hung_up(one_image_a_line)))
    with pytest.raises(InputError, match="line 1 has"):
        exchange(address, items())


def test_an_item_that_no_message_can_carry(exchange, serve, peer, line, until_hung_up, one_image_a_line):
    address = serve(peer(until_hung_up(one_image_a_line)))
    with pytest.raises(UnsendableError):
        exchange(address, [line(0), "a line"])


def test_leaving_early_hangs_up(serve, line, image):
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

    with open_connection(address, QUICK) as connection:
        images = Exchange(connection, (), items(), QUICK).images()
        next(images)
        images.close()
        assert gone.wait(5)


def test_real_time_sends_no_sooner_than_the_stamps_say(exchange, serve, peer, one_image_a_line):
    started = time.monotonic()
    found, error, _ = exchange(serve(peer(one_image_a_line)), real_time=True)
    assert (len(found), error) == (N_LINES, None)
    assert time.monotonic() - started >= (N_LINES - 1) * 4 * 0.0025


def test_a_pause_of_real_time_ends_with_the_scan(exchange, serve, peer, line, until_hung_up, one_image_a_line):
    late = line(2)
    late.acquisition_time_stamp = 1_000_000
    timeouts = ClientTimeouts(total_s=0.3)
    started = time.monotonic()
    _, error, _ = exchange(serve(peer(until_hung_up(one_image_a_line))), [line(1), late], timeouts, real_time=True)
    assert str(error) == "not finished after 0.3 s"
    assert time.monotonic() - started < 5


def test_texts_without_end_are_counted_not_kept():
    reply, long = Reply(), "a\x1b[31m\n" * 100_000
    tracemalloc.start()
    for _ in range(300):
        reply.add(Text.of(f"ERR {long}"))
        reply.add(Text.of(f"WARN {long}"))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(reply.errors) == MOST_ERRORS
    assert reply.n_left_out == 300 - MOST_ERRORS
    assert kept < 8 << 20
    assert all(text.isprintable() and len(text) < 20_000 for text in (*reply.errors, *reply.log_lines))


def test_how_many_texts_were_left_out_is_told(exchange, serve, peer):
    def answer(reader, writer):
        for _ in reader:
            pass
        for number in range(MOST_ERRORS + 3):
            writer.serialize(f"no {number}")
        writer.close()

    _, error, _ = exchange(serve(peer(answer)))
    assert "no 0; no 1; " in str(error)
    assert "; 3 texts more left out" in str(error)
