import os
import subprocess
import sys
import threading

import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.pipes import OutputPipe, input_pipe, output_pipe


def test_what_is_written_to_a_file_is_read_from_it(tmp_path):
    path = tmp_path / "stream"
    with output_pipe(path) as pipe:
        pipe.write(b"a")
        pipe.write(memoryview(b"bc"))
    with input_pipe(path) as file:
        assert file.read() == b"abc"
    with pytest.raises(InputError, match="exists"), output_pipe(path):
        pass
    with output_pipe(path, overwrite=True):
        pass
    assert path.read_bytes() == b""


def test_what_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        input_pipe(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be written"), output_pipe(tmp_path / "no" / "folder"):
        pass


def test_a_reader_that_is_gone_is_one_error():
    reading, writing = os.pipe()
    os.close(reading)
    with OutputPipe(writing, "standard output") as pipe, pytest.raises(OutputError, match="nobody reads it"):
        pipe.write(b"a")


def test_a_large_block_is_written_whole():
    reading, writing = os.pipe()
    block = os.urandom(1 << 20)
    with subprocess.Popen([sys.executable, "-c", "import sys; print(len(sys.stdin.buffer.read()))"],
                          stdin=reading, stdout=subprocess.PIPE, text=True) as reader:  # fmt: skip
        os.close(reading)
        with OutputPipe(writing, "x") as pipe:
            assert pipe.write(block) == len(block)
        assert reader.communicate(timeout=60)[0] == f"{1 << 20}\n"


@pytest.mark.slow
def test_standard_output_is_kept_from_everything_else():
    """Also from what a library in another language writes to descriptor 1."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom nilatron.pipelines.files.pipes import output_pipe\n"
        "with output_pipe(Path('-')) as pipe:\n"
        "    print('of Python', flush=True); os.write(1, b'of a library\\n'); pipe.write(b'stream')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603
    assert done.stdout == b"stream"
    assert done.stderr == b"of Python\nof a library\n"


@pytest.mark.parametrize("first", ["in", "out"])
def test_named_pipes_in_whichever_order_the_other_end_opens_them(first, tmp_path):
    pipes = {name: tmp_path / name for name in ("in", "out")}
    for path in pipes.values():
        os.mkfifo(path)
    came = []

    def other_end():
        modes = {"in": "wb", "out": "rb"}
        names = sorted(modes, key=lambda name: name != first)
        files = {name: pipes[name].open(modes[name]) for name in names}
        files["in"].write(b"question")
        files["in"].close()
        came.append(files["out"].read())
        files["out"].close()

    thread = threading.Thread(target=other_end, daemon=True)
    thread.start()
    file = input_pipe(pipes["in"])
    with output_pipe(pipes["out"]) as pipe:
        assert file.read() == b"question"
        pipe.write(b"answer")
    thread.join(60)
    assert came == [b"answer"]
