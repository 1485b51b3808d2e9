"""`nilatron stream` as a program between pipes."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ProtocolDeserializer
from ismrmrd.xsd import ToXML

from nilatron.pipelines.mrd2.noise import read_noise
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulated_header
from nilatron.pipelines.wire import Close, Header, encode

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SIMULATE = ("simulate", "-", "--matrix", "32,24", "--coils", "3", "--slices", "2", "--noise", "0.02")
PATIENCE_S = 120
SCAN = b"".join(
    bytes(part)
    for message in (Header(ToXML(simulated_header(SimulationSettings())).encode()), Close())
    for part in encode(message)
)


@pytest.fixture
def program(tmp_path):
    """Start the program as from a shell, where no package `gadgetron` can be imported."""
    blocked = tmp_path / "blocked" / "gadgetron"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('this command needs no gadgetron')\n")
    path = os.pathsep.join([str(blocked.parent), str(ROOT / "src")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def start(*words, **options):
        command = [sys.executable, "-m", "nilatron", *map(str, words)]
        return subprocess.Popen(  # noqa: S603
            command, env=environment, stderr=subprocess.PIPE, **({"stdout": subprocess.PIPE} | options)
        )

    return start


def finished(process, data=None):
    out, err = process.communicate(data, timeout=PATIENCE_S)
    return process.returncode, out, err.decode()


@pytest.fixture
def stream_bytes(program):
    code, out, err = finished(program(*SIMULATE))
    assert (code, err) == (0, "")
    return out


def images_in(data):
    with ProtocolDeserializer(io.BytesIO(data)) as deserializer:
        return [item for item in deserializer.deserialize() if isinstance(item, ismrmrd.Image)]


def test_a_simulation_through_a_pipe_is_equal_to_its_replay(program, command, tmp_path):
    first = program(*SIMULATE)
    code, out, err = finished(program("stream", "-c", "cg_sense", stdin=first.stdout))
    first.stdout.close()
    assert (code, err, first.wait(PATIENCE_S), first.stderr.read()) == (0, "", 0, b"")
    first.stderr.close()
    raw, output = tmp_path / "raw.h5", tmp_path / "images.h5"
    assert command("simulate", raw, *SIMULATE[2:])[0] == 0
    assert command("replay", raw, "-o", output, "-c", "cg_sense", "-G", "g")[0] == 0
    with ismrmrd.Dataset(str(output), "g", False) as dataset:
        expected = [dataset.read_image("image_1", number) for number in range(2)]
    images = images_in(out)
    assert len(images) == 2
    for image, other in zip(images, expected, strict=True):
        assert image.data.tobytes() == other.data.tobytes()
        assert dict(ismrmrd.Meta.deserialize(image.attribute_string)) == dict(other.meta)


def test_named_pipes(program, stream_bytes, tmp_path):
    source, target = tmp_path / "in.fifo", tmp_path / "out.fifo"
    os.mkfifo(source)
    os.mkfifo(target)
    received = []
    reader = threading.Thread(target=lambda: received.append(target.read_bytes()))
    writer = threading.Thread(target=lambda: source.write_bytes(stream_bytes))
    reader.start()
    writer.start()
    code, out, err = finished(program("stream", "-c", "zero_filled", "-i", source, "-o", target))
    reader.join(PATIENCE_S)
    writer.join(PATIENCE_S)
    assert (code, out, err) == (0, b"", "")
    assert len(images_in(received[0])) == 2


def test_what_a_library_prints_goes_to_standard_error(program, stream_bytes, tmp_path):
    (tmp_path / "blocked" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Hook:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'nilatron.gadgets.node':\n"
        "            os.write(1, b'noise of a library\\n'); print('noise of Python', flush=True)\n"
        "sys.meta_path.insert(0, Hook())\n"
    )
    code, out, err = finished(program("stream", "-c", "zero_filled", stdin=subprocess.PIPE), stream_bytes)
    assert code == 0
    assert len(images_in(out)) == 2
    assert "noise of a library" in err
    assert "noise of Python" in err


@pytest.mark.parametrize(
    ("words", "data", "code", "message"),
    [
        ((), b"", 2, "neither an MRD v1 nor an MRD v2 stream: it is empty"),
        (("-o", "/no/folder"), None, 2, "/no/folder: cannot be written"),
        ((), b"hello world", 2, "it begins with b'hello'"),
        ((), b"\x89HDF\r\n\x1a\n", 2, "nilatron replay reads it"),
        (("-c", "nothing"), b"", 2, "unknown chain 'nothing'"),
        (("--answer", "missing.mrd"), None, 2, "missing.mrd: cannot be read"),
        (("-i", "missing"), b"", 2, "missing: cannot be read"),
        (("-c", "zero_filled", "--set", "no_such=1"), None, 2, "no_such"),
    ],
)
def test_mistakes_are_one_line_and_code_2(words, data, code, message, command, tmp_path):
    source = tmp_path / "in"
    source.write_bytes(SCAN if data is None else data)
    found, _, err = command("stream", "-i", source, "-o", tmp_path / "out", *words)
    assert (found, err.replace("\n", " ").count("nilatron: ")) == (code, 1), err
    assert message in err


def test_a_stream_that_breaks_off_is_code_4_after_the_images_before(program, stream_bytes):
    cut = stream_bytes[: -len(stream_bytes) // 10]
    code, out, err = finished(program("stream", "-c", "zero_filled", stdin=subprocess.PIPE), cut)
    assert (code, len(images_in(out))) == (4, 1)
    assert "ended inside a message" in err
    assert "1 image written" in err


def test_missing_lines_are_code_3_after_all_images(program):
    few = (*SIMULATE, "--acceleration", "2", "--calibration", "none")
    first = program(*few)
    code, out, err = finished(program("stream", "-c", "cg_sense", stdin=first.stdout))
    for file in (first.stdout, first.stderr):
        file.close()
    assert (code, first.wait(PATIENCE_S), len(images_in(out))) == (3, 0, 2)
    assert "2 images written" in err


def test_a_reader_that_is_gone_is_one_line(program):
    reading, writing = os.pipe()
    os.close(reading)
    first = program(*SIMULATE, stdout=writing)
    os.close(writing)
    _, err = first.communicate(timeout=PATIENCE_S)
    assert (first.returncode, err) == (3, b"nilatron: standard output: nobody reads it any more\n")


def test_a_stop_signal_ends_the_stream_whole(program, stream_bytes):
    process = program("stream", "-c", "zero_filled", stdin=subprocess.PIPE)
    process.stdin.write(stream_bytes[: -len(stream_bytes) // 10])
    process.stdin.flush()
    begin = os.read(process.stdout.fileno(), 1)  # the header is there: it runs
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, err
    assert len(images_in(begin + out)) <= 2
    assert (begin + out)[-2:] == b"\x04\x00"


def test_noise_goes_to_a_file(program, stream_bytes, tmp_path):
    path = tmp_path / "noise.cov"
    words = ("stream", "-c", "zero_filled", "--noise-out", path)
    assert finished(program(*words, stdin=subprocess.PIPE), stream_bytes)[0] == 0
    assert "exists" in finished(program(*words, stdin=subprocess.PIPE), b"")[2]
    with path.open("rb") as file:
        noise = read_noise(file)
    assert noise.n_coils == 3
    expected = SimulationSettings(n_coils=3, noise_std=0.02).noise_scan_covariance
    np.testing.assert_allclose(noise.covariance, expected, atol=0.2 * np.abs(expected).max())
