import json
import threading
from multiprocessing import Pipe

import numpy as np
import pytest

from nilatron.core.errors import BadInputError
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.pipelines.server.jobs import (
    receive_frame,
    send_frame,
    unpack_generator,
    unpack_outcome,
    unpack_settings,
)


@pytest.fixture
def pipe():
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def test_a_frame_arrives_as_it_was_sent(pipe):
    ours, theirs = pipe
    rng = np.random.default_rng(0)
    arrays = {
        "large": rng.standard_normal((300, 200, 2)).astype(np.float32).view(np.complex64)[..., 0],
        "transposed": rng.standard_normal((3, 4)).T,
        "empty": np.zeros((0, 5), np.float32),
        "point": np.array(1.5, np.float32),
    }
    thread = threading.Thread(target=send_frame, args=(ours, {"target": "nila"}, arrays))
    thread.start()
    head, received = receive_frame(theirs)
    thread.join(10)
    assert head == {"target": "nila"}
    assert list(received) == list(arrays)
    for name, array in arrays.items():
        assert received[name].dtype == array.dtype
        np.testing.assert_array_equal(received[name], array)


@pytest.mark.parametrize(
    "head",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"arrays": [["a", "object", [1]]]}',
        b'{"arrays": [["a", "float32", [-1]]]}',
        b'{"arrays": [["a", "float32", [9999999999, 9999]]]}',
        b'{"arrays": [["a", "float32", [2]]]}',
    ],
)
def test_nothing_else_is_taken_for_a_frame(pipe, head):
    ours, theirs = pipe
    ours.send_bytes(head)
    ours.send_bytes(b"123")
    with pytest.raises((BadInputError, MemoryError)):
        receive_frame(theirs)


def test_settings_and_generator_travel_as_json():
    settings = NilaNodeSettings(series=("nila",), steps=5)
    generator = np.random.default_rng(7)
    generator.standard_normal(5)
    state = json.dumps({"settings": vars(settings), "generator": generator.bit_generator.state, "target": "nila"})
    head = json.loads(state)
    assert unpack_settings(head) == settings
    np.testing.assert_array_equal(unpack_generator(head).standard_normal(3), generator.standard_normal(3))


@pytest.mark.parametrize(
    "head",
    [{"target": "os"}, {"target": "nila", "settings": {"stepz": 1}}, {"target": "nila", "settings": {"steps": 0}}],
)
def test_settings_that_do_not_exist(head):
    with pytest.raises(BadInputError):
        unpack_settings(head)


def test_an_error_is_raised_where_it_arrives():
    with pytest.raises(RuntimeError, match="out of memory"):
        unpack_outcome({"error": "out of memory"}, {})
