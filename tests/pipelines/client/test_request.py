import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.chain.find import find_chain
from nilatron.pipelines.client.request import Address, SliceCounter, parse_address, request_for, series_of
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Config, ConfigName


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:9002", Address("localhost", 9002)),
        (" 10.0.0.1:1 ", Address("10.0.0.1", 1)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected
    assert parse_address(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "9002", "localhost", "localhost:", ":9002", "a:0", "a:65536", "a:b", "::1:9002", "a:-1"]
)
def test_texts_that_are_no_address(text):
    with pytest.raises(InputError, match="expected an address HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(("name", "beside"), [("nila", "nila"), ("nila", "nila.xml"), ("nila.xml", "nila")])
def test_shipped_chains_go_by_name_even_beside_a_file_of_a_like_name(name, beside, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / beside).write_text("<configuration/>")
    request = request_for(name)
    assert request.message == ConfigName("nila.xml")
    assert request.series_per_slice == 2


def test_a_file_that_lies_there_is_sent_and_that_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nila.xml").write_text("<configuration/>")
    assert request_for("nila.xml").message == Config(b"<configuration/>")
    assert f"{tmp_path / 'nila.xml'} is sent" in caplog.text


def test_files_go_by_content(tmp_path):
    path = tmp_path / "mine.xml"
    path.write_bytes(find_chain("cg_sense").xml)
    assert request_for(str(path)).message == Config(path.read_bytes())


def test_other_names_are_the_servers():
    request = request_for("Generic_Cartesian_Grappa.xml")
    assert request.message == ConfigName("Generic_Cartesian_Grappa.xml")
    assert request.series_per_slice == 1


@pytest.mark.parametrize("name", ["", "chains/absent.xml", "é" * 512 + ".xml", "n" * 5000])
def test_what_is_neither_file_nor_name(name):
    with pytest.raises(InputError, match=r"neither a file nor a name|name too long"):
        request_for(name)


def test_series_of_a_slice():
    nila = find_chain("nila").xml.decode()
    assert series_of(nila.encode()) == 2
    assert series_of(nila.replace('name="series" value="', 'name="series" value="uncertainty,').encode()) == 3
    assert series_of(nila.replace('<property name="series"', '<property name="sampled_series"').encode()) == 2
    assert series_of(find_chain("cg_sense").xml) == 1
    assert series_of(find_chain("nila_after_gadgetron").xml) == 2
    assert series_of(b"<configuration><stream><parallel/></stream></configuration>") == 1
    assert series_of(b"not XML") == 1


def test_slices_are_counted_as_images_will_be():
    scan = SimulationSettings(
        matrix=(16, 16, 1), n_coils=2, n_slices=3, n_repetitions=2, calibration="separate", acceleration=2, noise_lines=2,
        extra_lines=("navigation",), waveform_every=4,
    )  # fmt: skip
    header, items = simulate_items(scan)
    items = list(items)
    counter = SliceCounter(header)
    assert list(counter.count(items)) == items
    assert len(counter.slices) == 6


def test_calibration_lines_of_an_embedded_scan_are_its_own():
    header, _ = simulate_items(SimulationSettings(matrix=(16, 16, 1), n_coils=2))
    line = ismrmrd.Acquisition.from_array(np.zeros((2, 16), np.complex64))
    line.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    counter = SliceCounter(header)
    list(counter.count([line]))
    assert len(counter.slices) == 1
