"""Conversations whose input comes late, is cut, or is none."""

import socket
import struct
import threading
import time

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.wire import Close, Timeouts, encode


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


LINE = message_bytes(ismrmrd.Acquisition.from_array(np.ones((16, 512), np.complex64)))


def image(index):
    made = ismrmrd.Image.from_array(np.full((1, 8, 8), index, np.float32))
    made.image_index = index
    return made


def reads_all(items, context):
    """A gadget: one image for each line."""
    for number, _ in enumerate(items, 1):
        context.log.counts["images expected"] += 1
        yield image(number)


@pytest.mark.parametrize("n_bytes", [len(LINE), len(LINE) + 1, len(LINE) + 100, 2 * len(LINE) - 9])
def test_a_peer_that_stops_between_messages_in_an_id_a_header_or_samples_is_told(ends, held, n_bytes):
    here, peer = ends
    _, wait = held(here, reads_all)
    peer.send_meanwhile((2 * LINE)[:n_bytes], then=lambda sock: sock.shutdown(socket.SHUT_WR))
    peer.read_to_end()
    assert peer.kinds() == [1, "Error", "Close"]
    assert ("without CLOSE" if n_bytes == len(LINE) else "ended inside a message") in peer.error()
    assert wait().outcome == "failed"


@pytest.mark.parametrize("n_bytes", [1, len(LINE), len(LINE) + 100])
def test_a_reset_ends_the_conversation(ends, held, n_bytes):
    here, peer = ends

    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    _, wait = held(here, reads_all)
    peer.send_meanwhile((2 * LINE)[:n_bytes], then=reset)
    report = wait()
    assert report.outcome == "peer gone"
    assert report.error


@pytest.mark.parametrize(
    ("n_bytes", "where"), [(len(LINE), "between messages"), (len(LINE) + 100, "inside a message"), (0, "between")]
)
def test_half_open_silence_ends_in_an_error(ends, held, n_bytes, where):
    here, peer = ends
    conversation, wait = held(here, reads_all, Timeouts(0.3, 0.3, 0.3))
    peer.send_meanwhile((2 * LINE)[:n_bytes])
    peer.read_to_end()
    assert peer.kinds() == [*([1] if n_bytes else []), "Error", "Close"]
    assert "nothing came from the other end for 0.3 s" in peer.error()
    assert where in peer.error()
    assert conversation.peer_lost
    wait()


def test_bytes_that_are_no_message_are_answered_with_an_error(ends, held):
    here, peer = ends
    _, wait = held(here, reads_all)
    peer.send_meanwhile(LINE + b"\x39\x30" + bytes(100_000), then=lambda sock: sock.shutdown(socket.SHUT_WR))
    peer.read_to_end()
    assert peer.kinds() == [1, "Error", "Close"]
    assert "message id 12345 is unknown" in peer.error()
    assert wait().outcome == "failed"


def test_a_slow_consumer_learns_when_the_items_came(ends, held):
    here, peer = ends
    times, ended, all_came = [], [], threading.Event()

    def gadget(items, context):
        for item in items:
            assert all_came.wait(10)
            times.append((context.timing.arrived_s, context.timing.last_arrival_s()))
            yield item
        ended.append(context.timing.ended_s)

    conversation, wait = held(here, gadget)
    begun = time.monotonic()
    peer.send_meanwhile(message_bytes(*[image(1)] * 3))
    time.sleep(0.2)
    peer.send_meanwhile(message_bytes(Close()))
    assert conversation.reader.join(10)
    done = time.monotonic()
    time.sleep(0.2)
    all_came.set()
    peer.read_to_end()
    wait()
    assert len(times) == 3
    assert all(begun <= arrived == latest <= done for arrived, latest in times)
    assert begun + 0.2 <= ended[0] <= done
    assert times[0][0] <= ended[0] - 0.1
