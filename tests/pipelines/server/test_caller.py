import socket
from multiprocessing.sharedctypes import RawArray

import pytest

from nilatron.pipelines.server.caller import Caller, SharedState, close_empty, error_and_close, last_words
from nilatron.pipelines.wire import Close, Decoder, Error, Text


@pytest.mark.parametrize(
    ("caller", "kind"), [(Caller.UNKNOWN, Error), (Caller.NODE, Error), (Caller.CLIENT, Text), (Caller.FIRE, Text)]
)
def test_the_front_says_errors_as_the_codec_reads_them(caller, kind):
    memory = bytearray(2)
    SharedState(memory).caller = caller
    decoder = Decoder()
    messages = list(decoder.feed(error_and_close(SharedState(memory), "the session died: é")))
    decoder.finish()
    prefix = "ERR " if caller is Caller.FIRE else ""
    assert messages == [kind.of(f"{prefix}the session died: é"), Close()]


@pytest.mark.parametrize("memory", [bytearray(6), RawArray("B", 6)])
def test_the_front_sees_how_many_images_went_out(memory):
    ours, theirs = SharedState(memory), SharedState(memory)
    assert theirs.images == 0
    ours.images = 70_000
    ours.caller = Caller.NODE
    assert (theirs.images, theirs.caller, theirs.sending) == (70_000, Caller.NODE, False)


def test_nothing_can_follow_a_message_that_was_cut():
    memory = bytearray(2)
    SharedState(memory).sending = True
    assert error_and_close(SharedState(memory), "died") is None


def test_who_asked_for_nothing_gets_close_and_who_is_turned_away_the_reason():
    for say, expected in ((close_empty, b"\x04\x00"), (lambda sock: last_words(sock, "no"), b"nilatron: no\x04\x00")):
        ours, theirs = socket.socketpair()
        with theirs:
            say(ours)
            assert theirs.recv(100).endswith(expected)
            assert theirs.recv(100) == b""
