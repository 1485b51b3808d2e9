import os
import signal

import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.hdf5.writer import Hdf5Writer
from nilatron.pipelines.files.interrupts import StopSignalError, stoppable


def test_blocks_that_fit_are_there_those_that_do_not_are_not(tmp_path, small_disk):
    path = tmp_path / "a.h5"
    with small_disk(400_000), Hdf5Writer(path) as writer:
        for name in ("first", "second"):
            with writer.block(80_000) as file:
                file[name] = np.arange(10_000)
        with pytest.raises(OSError, match="too large"), writer.block(160_000):
            pytest.fail("the block was entered")
        assert writer.sound
        writer.finish()
    with h5py.File(path) as found:
        assert sorted(found) == ["first", "second"]
        assert all(np.array_equal(found[name], np.arange(10_000)) for name in found)


def test_a_block_that_is_larger_than_it_said_spoils_the_file_but_not_the_process(tmp_path, small_disk):
    def write():
        with Hdf5Writer(tmp_path / "a.h5") as writer:
            with pytest.raises(OSError, match="too large"), writer.block(1000) as file:
                file["a"] = np.random.default_rng(0).random(100_000)
            assert not writer.sound
            writer.finish()

    with small_disk(300_000), pytest.raises(OSError, match="too large"):
        write()


def test_a_stop_signal_waits_for_the_end_of_a_block(tmp_path):
    def write():
        with stoppable(), Hdf5Writer(tmp_path / "a.h5") as writer:
            with writer.block(0) as file:
                os.kill(os.getpid(), signal.SIGTERM)
                file["a"] = np.arange(1000)
            pytest.fail("it went on")

    with pytest.raises(StopSignalError):
        write()
    with h5py.File(tmp_path / "a.h5") as found:
        assert np.array_equal(found["a"], np.arange(1000))
