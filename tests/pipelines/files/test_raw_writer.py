import ismrmrd
import numpy as np

from nilatron.pipelines.files.hdf5.writer import Hdf5Writer
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.files.raw_writer import WRITE_LINES, write_raw
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import simulate_items


def test_what_is_written_is_read_again(tmp_path):
    settings = SimulationSettings(matrix=(16, 8, 1), n_coils=2, n_repetitions=WRITE_LINES // 8 + 1, waveform_every=5)
    header, items = simulate_items(settings)
    path = tmp_path / "raw.h5"
    with Hdf5Writer(path) as writer:
        n_lines = write_raw(writer, "scan", header, items)
        writer.finish()
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    assert n_lines == len(lines) > WRITE_LINES
    with open_raw(path, "scan") as raw:
        found = [item for item in raw.items() if isinstance(item, ismrmrd.Acquisition)]
    for one, other in zip(lines, found, strict=True):
        assert bytes(one.getHead()) == bytes(other.getHead())
        np.testing.assert_array_equal(one.data, other.data)
