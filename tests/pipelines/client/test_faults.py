"""The client against servers that are silent, slow, gone, or say what is no message."""

import http.server
import socket
import struct
import threading
import time

import pytest

from nilatron.pipelines.client.exchange import ClientTimeouts, ServerError
from nilatron.pipelines.client.request import Address
from nilatron.pipelines.wire import Error, encode


def test_images_that_came_before_an_early_end_are_kept(exchange, serve, peer, line, image):
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
    assert not error.from_server


def test_close_before_everything_was_taken(exchange, serve, peer, line, image, until_hung_up):
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


def test_an_image_cut_in_the_middle_is_not_handed_over(exchange, serve, image):
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
def test_bytes_that_are_no_message(exchange, serve, sent, reason, until_hung_up):
    def answer(sock):
        sock.sendall(sent)
        drain(sock)

    found, error, _ = exchange(serve(until_hung_up(answer)))
    assert found == []
    assert reason in str(error)


def test_a_server_that_speaks_http_is_named_as_such(exchange):
    with http.server.ThreadingHTTPServer(("localhost", 0), http.server.SimpleHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, error, _ = exchange(Address("localhost", server.server_address[1]))
        server.shutdown()
    assert found == []
    assert "this is no MRD server, it answers in HTTP" in str(error)


def test_silence_after_the_last_line(exchange, serve):
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


def test_a_whole_scan_that_takes_too_long(exchange, serve, peer, image, until_hung_up):
    over = threading.Event()

    def answer(reader, writer):
        number = 0
        while not over.wait(0.05):
            number += 1
            writer.serialize(image(number))
        list(reader)

    found, error, _ = exchange(serve(peer(until_hung_up(answer))), timeouts=ClientTimeouts(total_s=0.5))
    over.set()
    assert found
    assert str(error) == "not finished after 0.5 s"


@pytest.mark.slow
def test_a_server_that_never_reads(exchange, serve, line):
    over = threading.Event()
    address = serve(lambda _: over.wait(20) and None)
    timeouts = ClientTimeouts(message_s=0.3, idle_s=60, error_message_s=0.2)
    found, error, _ = exchange(address, (line(number, 60000) for number in range(100)), timeouts)
    over.set()
    assert found == []
    assert "the other end took nothing for 0.3 s" in str(error)


def test_last_words_of_a_server_that_takes_nothing_more(exchange, serve, line):
    def answer(sock):
        sock.recv(1000)
        sock.sendall(b"".join(map(bytes, encode(Error.of("out of memory")))) + struct.pack("<H", 4))

    _, error, _ = exchange(serve(answer), (line(number, 60000) for number in range(200)))
    assert "out of memory" in str(error)


def test_nobody_there(exchange):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ServerError, match=rf"cannot connect to 127.0.0.1:{port}: Connection refused; does the"):
        exchange(Address("127.0.0.1", port))


def test_an_unknown_host(exchange):
    with pytest.raises(ServerError, match=r"cannot connect to nobody\.invalid:9002"):
        exchange(Address("nobody.invalid", 9002))
