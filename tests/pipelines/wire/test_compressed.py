"""Lines as the stock client compresses them."""

import socket
import struct

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.wire import Connection, Decoder, MalformedError, UnsupportedError, encode
from nilatron.pipelines.wire.compressed import unpack

RNG = np.random.default_rng(3)


def line(n_samples=24, n_channels=3, n_dimensions=0):
    samples = RNG.standard_normal((n_channels, 2 * n_samples)).astype(np.float32).view(np.complex64)
    made = ismrmrd.Acquisition.from_array(samples, RNG.standard_normal((n_samples, n_dimensions)).astype(np.float32))
    made.scan_counter = int(RNG.integers(1, 1000))
    made.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    return made


def decoded(stream):
    return list(Decoder().feed(stream))


@pytest.mark.parametrize("n_bits", [2, 7, 8, 12, 16, 25, 31])
@pytest.mark.parametrize("n_dimensions", [0, 2])
def test_a_line_is_what_it_was_to_half_a_step(compressed, n_bits, n_dimensions):
    plain = line(n_dimensions=n_dimensions)
    (got,) = decoded(compressed(plain, n_bits))
    values, expected = got.data.reshape(-1).view(np.float32), plain.data.reshape(-1).view(np.float32)
    assert np.abs(values - expected).max() <= 0.5 * np.abs(expected).max() / ((1 << (n_bits - 1)) - 1) + 1e-6
    np.testing.assert_array_equal(got.traj, plain.traj)
    assert bytes(got.getHead()) == bytes(plain.getHead())


def test_the_integers_are_exact(packed):
    integers = np.array([0, 1, -1, 2047, -2047, -2048, 1000])
    np.testing.assert_array_equal(unpack(packed(integers / 4, 12, 4.0), 7), integers / 4)


def test_plain_and_compressed_lines_follow_each_other(compressed):
    plain = [line() for _ in range(9)]
    stream = b"".join(compressed(a) if i % 3 else b"".join(map(bytes, encode(a))) for i, a in enumerate(plain))
    got = decoded(stream)
    assert [a.scan_counter for a in got] == [a.scan_counter for a in plain]
    for a, b in zip(got, plain, strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=3e-3)


def test_like_lines_over_a_socket_are_told_apart(compressed):
    plain = [line() for _ in range(40)]
    stream = b"".join(compressed(a) if i // 10 % 2 else b"".join(map(bytes, encode(a))) for i, a in enumerate(plain))
    ours, theirs = socket.socketpair()
    with Connection(ours) as connection, theirs:
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        got = []
        while some := connection.receive_some():
            got += some
    assert [a.scan_counter for a in got] == [a.scan_counter for a in plain]
    for a, b in zip(got, plain, strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=3e-3)


def test_a_line_of_zeros_may_have_an_infinite_scale():
    np.testing.assert_array_equal(unpack(struct.pack("<QfB", 2, np.inf, 8) + b"\x01\x7f", 2), 0)


def test_samples_of_a_line_without_channels_are_not_announced():
    plain = line(n_channels=0)
    plain.set_flag(ismrmrd.ACQ_COMPRESSION2)
    (got, after) = decoded(b"".join((struct.pack("<H", 1008), bytes(plain.getHead()), *map(bytes, encode(line())))))
    assert (got.data.size, after.data.size) == (0, 72)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (ismrmrd.ACQ_COMPRESSION1, "compressed with ZFP, which"),
        (ismrmrd.ACQ_COMPRESSION3, "compressed in an unknown way"),
    ],
)
def test_other_compression_is_refused_by_name(compressed, flag, reason):
    with pytest.raises(UnsupportedError, match=reason):
        decoded(compressed(line(), flag=flag))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "compressed samples in 0 bytes"),
        (struct.pack("<QfB", 5, 1, 8) + bytes(5), "5 compressed numbers in a line that has 144"),
        (struct.pack("<QfB", 144, 1, 8) + bytes(143), "144 compressed numbers of 8 bits in 143 bytes"),
        (struct.pack("<QfB", 144, 1, 32) + bytes(4 * 144), "of 32 bits"),
        (struct.pack("<QfB", 144, 1, 0), "of 0 bits"),
        (struct.pack("<QfB", 144, -1, 8) + bytes(144), "scale of compressed samples is -1"),
        (struct.pack("<QfB", 144, np.nan, 8) + bytes(144), "scale of compressed samples is nan"),
    ],
)
def test_contradictions_are_errors(compressed, content, reason):
    with pytest.raises(MalformedError, match=reason):
        decoded(compressed(line(), content=content))


def test_a_compressed_size_beyond_the_limits_is_refused_before_it_is_allocated(compressed):
    stream = compressed(line())
    at = 2 + 340
    with pytest.raises(MalformedError, match="in 4294967295 bytes, which is more"):
        decoded(stream[:at] + b"\xff" * 4 + stream[at + 4 :])


def test_a_line_that_is_sent_is_not_marked_as_compressed():
    plain = line()
    plain.set_flag(ismrmrd.ACQ_COMPRESSION2)
    (got,) = decoded(b"".join(map(bytes, encode(plain))))
    assert not got.is_flag_set(ismrmrd.ACQ_COMPRESSION2)
    np.testing.assert_array_equal(got.data, plain.data)
