"""`nilatron replay --address` as users see it."""

import os
import signal

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.files.images import ImageFile
from nilatron.pipelines.wire import Close, Connection, Decoder, Text, Timeouts, encode


def answers(*messages):
    def answer(sock):
        connection = Connection(sock, timeouts=Timeouts(10, 10, 10))
        for _ in connection:
            pass
        for message in messages:
            connection.send(message)
        connection.close()

    return answer


def image(number):
    made = ismrmrd.Image.from_array(np.full((1, 20, 24), number, np.float32))
    made.image_series_index, made.image_index = 1, number
    return made


def replay(command, raw, folder, address, *words):
    return command("replay", raw, "-o", folder / "out.h5", "--address", address, "-c", "cg_sense", *words)


def test_all_images(command, raw, folder, serve):
    code, out, err = replay(command, raw, folder, serve(answers(image(1), image(2), Close())), "--real-time")
    assert (code, err) == (0, "")
    assert out.startswith(f"2 images to {folder / 'out.h5'} in ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_keeps_the_images_that_came(command, raw, folder, serve, one_line, monkeypatch, number):
    write = ImageFile.write

    def write_and_stop(file, made):
        write(file, made)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(ImageFile, "write", write_and_stop)
    code, out, err = replay(command, raw, folder, serve(answers(image(1), image(2), Close())))
    assert (code, out[:9]) == (128 + number, "1 image t")
    name = signal.Signals(number).name
    assert one_line(err) == f"nilatron: stopped by {name}; 1 finished image was kept in {folder / 'out.h5'}"
    assert list(folder.iterdir()) == [folder / "out.h5"]


def test_a_stop_signal_while_a_server_is_silent(command, raw, folder, serve, one_line):
    def answer(sock):
        sock.recv(1 << 16)
        os.kill(os.getpid(), signal.SIGTERM)
        while sock.recv(1 << 16):
            pass

    code, _, err = replay(command, raw, folder, serve(answer))
    assert code == 128 + signal.SIGTERM
    assert one_line(err) == "nilatron: stopped by SIGTERM; unfinished files were removed"
    assert list(folder.iterdir()) == []


def test_missing_images_are_exit_code_3(command, raw, folder, serve, one_line):
    code, out, err = replay(command, raw, folder, serve(answers(image(1), Close())))
    assert code == 3
    assert out.startswith("1 image ")
    assert "1 of 2 expected images came" in one_line(err)


def test_an_error_of_the_server_is_exit_code_4(command, raw, folder, serve, one_line):
    code, out, err = replay(command, raw, folder, serve(answers(image(1), Text.of("Errors received: boom"), Close())))
    assert code == 4
    assert out.startswith("1 image ")
    expected = "nilatron: Errors received: boom; 1 of 2 expected images came and were kept"
    assert one_line(err) == expected
    assert (folder / "out.h5").exists()


def test_a_silent_server_is_exit_code_4(command, raw, folder, serve, one_line):
    def answer(sock):
        while sock.recv(1 << 16):
            pass

    code, _, err = replay(command, raw, folder, serve(answer), "--idle-timeout", "0.3")
    assert code == 4
    assert "nothing came" in one_line(err)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--address", "localhost"), "expected an address HOST:PORT"),
        (("--address", "localhost:9002", "--set", "steps=4"), "the server's own"),
        (("--address", "localhost:9002", "--seed", "3"), "the server's own"),
        (("--address", "localhost:9002", "-c", "chains/absent.xml"), "neither a file nor a name"),
        (("--real-time",), "need a server"),
        (("--timeout", "3"), "need a server"),
    ],
)
def test_bad_arguments_are_exit_code_2(command, raw, folder, one_line, words, reason):
    code, _, err = command("replay", raw, "-o", folder / "out.h5", *words)
    assert code == 2
    assert reason in one_line(err)
    assert list(folder.iterdir()) == []


def test_what_a_server_says_cannot_draw_on_the_terminal(command, raw, folder, serve, one_line):
    address = serve(answers(Text.of("\x1b]0;owned\x07[red]no[/red]\nnilatron: \u202eall fine"), Close()))
    code, out, err = replay(command, raw, folder, address)
    assert (code, out) == (4, "")
    assert r"\x1b]0;owned\x07[red]no[/red]\nnilatron: \u202eall fine" in one_line(err)
    assert not {"\x1b", "\x07", "\u202e"} & set(err)


@pytest.mark.parametrize(
    "attributes", [b"<x", b"<ismrmrdMeta><meta><name>RescaleSlope</name><value>many</value></meta></ismrmrdMeta>"]
)
def test_attributes_that_make_no_sense_cost_only_what_needs_them(command, raw, folder, serve, attributes):
    made = image(1)
    raw_image = bytearray(b"".join(bytes(part) for part in encode(made)))
    (received,) = Decoder().feed(bytes(raw_image))
    received.attribute_string = attributes.decode()
    words = ("--dicom", folder / "dicom", "--report", folder / "page.html")
    code, _, err = replay(command, raw, folder, serve(answers(received, image(2), Close())), *words)
    assert code in (0, 3)
    assert "Traceback" not in err
    with h5py.File(folder / "out.h5") as file:
        assert len(next(iter(file.values()))["image_1/data"]) == 2
