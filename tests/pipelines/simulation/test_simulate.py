import io
from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.simulation.header import simulated_header
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import TruthFiles, simulate, simulate_items, simulate_to
from nilatron.pipelines.wire import Close, Decoder

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)


@pytest.mark.slow
@pytest.mark.parametrize("waveform_every", [0, 7])
def test_file_holds_what_memory_holds(tmp_path, waveform_every):
    settings = replace(SMALL, n_slices=12, waveform_every=waveform_every, acceleration=2)
    assert simulate(tmp_path / "raw.h5", settings) == 4 + 12 * 16
    header, items = simulate_items(settings)
    with open_raw(tmp_path / "raw.h5") as raw:
        assert raw.header == header
        stored = list(raw.items())
    assert len(stored) == len(items)
    for a, b in zip(stored, items, strict=True):
        assert type(a) is type(b)
        assert bytes(a.getHead()) == bytes(b.getHead())
        np.testing.assert_array_equal(a.data, b.data)


def test_stock_library_reads_the_file(tmp_path):
    simulate(tmp_path / "raw.h5", SMALL)
    with ismrmrd.Dataset(tmp_path / "raw.h5", mode="r") as dataset:
        assert parse_header(dataset.read_xml_header()) == simulated_header(SMALL)
        assert dataset.number_of_acquisitions() == 28
        np.testing.assert_array_equal(dataset.read_acquisition(9).data, simulate_items(SMALL)[1][9].data)


def test_existing_file_is_refused_unless_overwritten(tmp_path):
    path = tmp_path / "raw.h5"
    path.write_text("precious")
    with pytest.raises(InputError, match="--overwrite"):
        simulate(path, SMALL)
    assert path.read_text() == "precious"
    simulate(path, SMALL, overwrite=True)
    with open_raw(path) as raw:
        assert raw.n_acquisitions == 28
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("content", "message"), [(b"nonsense", "is not an image"), (None, "is not an image")])
def test_unreadable_image(tmp_path, content, message):
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "raw.h5", replace(SMALL, image=str(path)))
    assert not (tmp_path / "raw.h5").exists()


def test_a_stream_has_the_items_of_the_file(tmp_path):
    file = io.BytesIO()
    simulate_to(file, SMALL, truth=TruthFiles(image=tmp_path / "truth.npy"))
    decoder = Decoder()
    header, *items, end = decoder.feed(file.getvalue())
    decoder.finish()
    expected_header, expected = simulate_items(SMALL)
    assert (header.text, type(end)) == (ToXML(expected_header), Close)
    assert [bytes(item.getHead()) for item in items] == [bytes(item.getHead()) for item in expected]
    assert [item.data.tobytes() for item in items] == [item.data.tobytes() for item in expected]
    assert (tmp_path / "truth.npy").is_file()
    with pytest.raises(InputError, match="exists"):
        simulate_to(file, SMALL, truth=TruthFiles(image=tmp_path / "truth.npy"))
