"""`nilatron replay`: every failure has its exit code and one line."""

import re
import socket

import pytest

from nilatron.pipelines.wire import Close, Connection, Text


@pytest.mark.slow
@pytest.mark.row("F2.32")
def test_an_existing_group_is_kept(command, raw, folder):
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images")
    assert command(*words)[0] == 0
    before = (folder / "out.h5").read_bytes()
    code, _, err = command(*words)
    assert code == 2
    assert re.search("group 'images' exists.*-G.*--overwrite", err)
    assert (folder / "out.h5").read_bytes() == before
    assert command(*words, "--overwrite")[0] == 0


@pytest.mark.row("F2.32")
@pytest.mark.parametrize("content", [b"no HDF5 at all", None], ids=["not HDF5", "missing"])
def test_a_wrong_file(command, raw, folder, content):
    raw.unlink() if content is None else raw.write_bytes(content)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 2
    assert str(raw.name) in err
    assert list(folder.iterdir()) == []


def to_server(command, raw, folder, address, *words):
    return command("replay", raw, "-o", folder / "out.h5", "-c", "cg_sense", "--address", str(address), *words)


@pytest.mark.row("F2.32")
def test_a_server_that_is_down(command, raw, folder):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code, _, err = to_server(command, raw, folder, f"127.0.0.1:{port}")
    assert code == 4
    assert "cannot connect" in err
    assert err.endswith("; nothing was written\n")
    assert list(folder.iterdir()) == []


@pytest.mark.row("F2.32")
def test_a_server_that_says_what_is_wrong(command, raw, folder, serve):
    def answer(sock):
        connection = Connection(sock)
        list(connection)
        connection.send(Text.of("no such chain"))
        connection.send(Close())

    code, _, err = to_server(command, raw, folder, serve(answer))
    assert code != 0
    assert "no such chain" in err


@pytest.mark.row("F2.32")
def test_a_server_that_never_answers(command, raw, folder, serve):
    def answer(sock):
        connection = Connection(sock)
        list(connection)
        assert connection.receive() is None

    code, _, err = to_server(command, raw, folder, serve(answer), "--timeout", "0.3")
    assert code == 4
    assert "not finished after 0.3 s" in err
