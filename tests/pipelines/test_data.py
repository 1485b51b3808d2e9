import contextlib
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.pipelines import data
from nilatron.pipelines.data import ImageFile, InputError, atomic_path, open_raw, parse_header, write_png
from nilatron.pipelines.simulate import SimulationSettings, simulate, simulated_header

SHARED = Path(__file__).resolve().parents[2] / "../shared"
SETTINGS = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    simulate(path, replace(SETTINGS, waveform_every=4))
    return path


@pytest.fixture
def raw_path(pristine, tmp_path):
    return Path(shutil.copy(pristine, tmp_path / "raw.h5"))


def edit_line(path, number, change):
    with h5py.File(path, "r+") as file:
        row = file["dataset/data"][number : number + 1]
        change(row[0])
        file["dataset/data"][number : number + 1] = row


def edit_header(path, change):
    with h5py.File(path, "r+") as file:
        file["dataset/xml"][0] = change(file["dataset/xml"][0])


def read(path, group="dataset"):
    with open_raw(path, group) as raw:
        return list(raw.items())


# --- header


def header_xml():
    return ismrmrd.xsd.ToXML(simulated_header(SETTINGS)).encode()


def test_header_that_is_as_it_should_be():
    assert parse_header(header_xml()) == simulated_header(SETTINGS)
    assert parse_header(header_xml()) == ismrmrd.xsd.CreateFromDocument(header_xml())


@pytest.mark.parametrize(
    "change",
    [
        lambda xml: xml + b"\0",
        lambda xml: xml + b"\0\0\n",
        lambda xml: re.sub(rb' xmlns="[^"]*"', b"", xml),
        lambda xml: re.sub(rb"<(/?)(?=\w)", rb"<\1mrd:", xml).replace(b"xmlns=", b"xmlns:mrd="),
        lambda xml: xml.replace(b"</encoding>", b"<colour>red</colour></encoding>"),
        lambda xml: xml.replace(b"<x>32</x>", b"<x> 32.0 </x>"),
    ],
    ids=["nul", "nuls", "no name space", "prefix", "unknown element", "float for integer"],
)
def test_header_with_harmless_faults_reads_the_same(change):
    changed = change(header_xml())
    assert changed != header_xml()
    assert parse_header(changed) == simulated_header(SETTINGS)


def test_header_without_optional_parts():
    xml = b"""<ismrmrdHeader><encoding><encodedSpace><matrixSize><x>8</x><y>6</y><z>1</z></matrixSize>
        <fieldOfView_mm><x>8</x><y>6</y><z>5</z></fieldOfView_mm></encodedSpace></encoding></ismrmrdHeader>"""
    header = parse_header(xml)
    assert header.encoding[0].reconSpace.matrixSize.y == 6
    assert header.encoding[0].encodingLimits.slice is None
    assert header.experimentalConditions is None
    assert header.acquisitionSystemInformation is None


def test_header_value_that_does_not_convert_is_left_out(caplog):
    xml = header_xml().replace(b"0.793", b"about 0.8")
    with caplog.at_level(logging.WARNING):
        assert parse_header(xml).acquisitionSystemInformation.relativeReceiverNoiseBandwidth is None
    assert "relativeReceiverNoiseBandwidth" in caplog.text
    assert "about 0.8" in caplog.text


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "Jürgen 山"), ("latin-1", "Jürgen")])
@pytest.mark.parametrize("declared", ["ascii", "utf-8"])
def test_header_with_non_ascii_name_whatever_it_declares(encoding, name, declared):
    xml = header_xml().replace(b">phantom<", f">{name}<".encode(encoding)).replace(b'"ascii"', f'"{declared}"'.encode())
    assert parse_header(xml).subjectInformation.patientID == name


BAD_HEADERS = {
    "not xml": (lambda _: b"TR = 500 ms", "header is not XML"),
    "empty": (lambda _: b"", "header is not XML"),
    "cut off": (lambda xml: xml[: len(xml) // 2], "header is not XML"),
    "entities": (lambda xml: b'<!DOCTYPE a [<!ENTITY b "c">]>' + xml[xml.index(b"<ismrmrd") :], "header is not XML"),
    "no encoding": (lambda xml: re.sub(rb"<encoding>.*</encoding>", b"", xml, flags=re.S), "no <encoding>"),
    "other xml": (lambda _: b"<html><body/></html>", "<html>.*no <encoding>"),
    "no matrix": (lambda xml: xml.replace(b"matrixSize", b"size"), "encodedSpace/matrixSize must be three positive"),
    "zero matrix": (lambda xml: xml.replace(b"<x>32<", b"<x>0<"), "matrixSize must be .* x, y, z = 0, 12, 1"),
    "radial": (lambda xml: xml.replace(b">cartesian<", b">radial<"), "radial trajectory; only Cartesian"),
    "spiral": (lambda xml: xml.replace(b">cartesian<", b">spiral<"), "spiral trajectory; only Cartesian"),
}


@pytest.mark.parametrize("fault", BAD_HEADERS)
def test_unusable_header(raw_path, fault):
    change, message = BAD_HEADERS[fault]
    assert change(header_xml()) != header_xml()
    with pytest.raises(InputError, match=message):
        parse_header(change(header_xml()))
    edit_header(raw_path, change)
    with pytest.raises(InputError, match=f"{re.escape(str(raw_path))}: .*{message}"):
        open_raw(raw_path)


# --- raw files


def test_items_come_in_time_order_with_waveforms_in_between(raw_path):
    items = read(raw_path)
    stamps = [i.time_stamp if isinstance(i, ismrmrd.Waveform) else i.acquisition_time_stamp for i in items]
    assert stamps == sorted(stamps)
    kinds = "".join("w" if isinstance(item, ismrmrd.Waveform) else "a" for item in items)
    assert kinds == "aa" + 3 * "waaaa"


def test_waveforms_after_the_last_line_are_not_lost(raw_path):
    with h5py.File(raw_path, "r+") as file:
        rows = file["dataset/waveforms"][:]
        rows["head"]["time_stamp"] = 10**6
        file["dataset/waveforms"][:] = rows
    assert [type(item).__name__ for item in read(raw_path)[-3:]] == 3 * ["Waveform"]


def test_header_bytes_and_counts(raw_path):
    with open_raw(raw_path) as raw:
        assert raw.n_acquisitions == 14
        assert parse_header(raw.header_bytes) == raw.header
        assert raw.header.encoding[0].encodedSpace.matrixSize.x == 32


def test_lines_are_read_in_blocks_of_bounded_size(raw_path, monkeypatch):
    line_bytes = 8 * 2 * 32
    monkeypatch.setattr(data, "BLOCK_BYTES", 4 * line_bytes)
    largest = []
    stock = h5py.Dataset.__getitem__

    def spy(table, key, **options):
        rows = stock(table, key, **options)
        if table.name.endswith("/data"):
            largest.append(len(rows))
        return rows

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    assert len(read(raw_path)) == 17
    assert sum(largest) == 14
    assert max(largest) == 4


def test_lines_of_writers_with_another_field_layout(raw_path, tmp_path):
    expected = read(raw_path)
    padded = np.dtype(ismrmrd.hdf5.acquisition_header_dtype.descr, align=True)
    assert padded != ismrmrd.hdf5.acquisition_header_dtype
    kind = np.dtype([("head", padded), *((n, ismrmrd.hdf5.acquisition_dtype[n]) for n in ("traj", "data"))])
    with h5py.File(raw_path) as old, h5py.File(tmp_path / "new.h5", "w") as new:
        old.copy("dataset/xml", new.create_group("dataset"))
        rows = old["dataset/data"][:]
        changed = np.zeros(len(rows), kind)
        for name in padded.names:
            changed["head"][name] = rows["head"][name]
        changed["traj"], changed["data"] = rows["traj"], rows["data"]
        new["dataset"].create_dataset("data", data=changed)
    found = read(tmp_path / "new.h5")
    lines = [item for item in expected if isinstance(item, ismrmrd.Acquisition)]
    assert [bytes(a.getHead()) for a in found] == [bytes(a.getHead()) for a in lines]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, lines, strict=True))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"absent\.h5: no such file"):
        open_raw(tmp_path / "absent.h5")
    with pytest.raises(InputError, match="is not a file"):
        open_raw(tmp_path)


@pytest.mark.parametrize("content", [b"", b"GIF89a, or whatever this may be" * 100])
def test_not_hdf5(tmp_path, content):
    path = tmp_path / "raw.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an HDF5 file"):
        open_raw(path)


def test_missing_group_lists_those_that_exist(raw_path):
    with h5py.File(raw_path, "r+") as file:
        file.create_group("other")
    with pytest.raises(InputError, match=r"no group 'scan'.*groups that exist: dataset, other.*-g"):
        open_raw(raw_path, "scan")


@pytest.mark.parametrize("part", ["xml", "data"])
def test_group_without_raw_data(raw_path, part):
    with h5py.File(raw_path, "r+") as file:
        del file["dataset"][part]
    with pytest.raises(InputError, match=rf"holds no '{part}'.*not ISMRMRD raw data"):
        open_raw(raw_path)


def test_data_that_are_no_lines(raw_path):
    with h5py.File(raw_path, "r+") as file:
        del file["dataset/data"]
        file["dataset/data"] = np.zeros((4, 4))
    with pytest.raises(InputError, match=r"no data and head.*not a table of ISMRMRD lines"):
        open_raw(raw_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sample_that_is_not_finite_names_its_line(raw_path, value):
    def spoil(row):
        row["data"][5] = value

    edit_line(raw_path, 9, spoil)
    with open_raw(raw_path) as raw:
        items = raw.items()
        with pytest.raises(InputError, match=r"line 9 has 1 values that are not finite"):
            list(items)


def test_lines_before_a_bad_one_are_handed_out(raw_path):
    def spoil(row):
        row["data"][5] = np.nan

    edit_line(raw_path, 9, spoil)
    seen = []
    with open_raw(raw_path) as raw, contextlib.suppress(InputError):
        seen.extend(raw.items())
    assert sum(isinstance(item, ismrmrd.Acquisition) for item in seen) == 9


def test_line_with_another_number_of_channels(raw_path):
    def spoil(row):
        row["head"]["active_channels"] = 1
        row["data"] = row["data"][:64]

    edit_line(raw_path, 7, spoil)
    with pytest.raises(InputError, match="line 7 has 1 channels, the first line has 2"):
        read(raw_path)


def test_channels_other_than_the_header_has_are_reported(raw_path, caplog):
    edit_header(raw_path, lambda xml: xml.replace(b"receiverChannels>2<", b"receiverChannels>5<"))
    with caplog.at_level(logging.WARNING):
        assert len(read(raw_path)) == 17
    assert "5 receiver channels, the lines have 2" in caplog.text


def test_line_shorter_than_announced(raw_path):
    def spoil(row):
        row["data"] = row["data"][:-2]

    edit_line(raw_path, 3, spoil)
    with pytest.raises(InputError, match="line 3 has 63 complex samples, its header announces 2 channels of 32"):
        read(raw_path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_truncated_file(raw_path, share):
    content = raw_path.read_bytes()
    raw_path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"truncated|damaged|cannot be read"):
        read(raw_path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "n_lines"),
    [("data/raw/brain_8ch_R4.h5", 91), ("data/kspace/grappa2_1rep.h5", 143), ("wire/small.h5", 65)],
)
def test_files_of_others(name, n_lines):
    if not (SHARED / name).exists():
        pytest.skip(f"the shared development data are not beside the checkout: {name}")
    with open_raw(SHARED / name) as raw:
        items = list(raw.items())
        assert len(items) == raw.n_acquisitions == n_lines
        assert all(item.data.shape[0] == raw.header.acquisitionSystemInformation.receiverChannels for item in items)


# --- images


def image(pixels, series=1, index=1, **meta):
    made = ismrmrd.Image.from_array(np.asarray(pixels), transpose=False)
    made.image_series_index, made.image_index, made.slice = series, index, index
    made.meta = {"ImageComment": "Prüfbild", **meta}
    return made


def stock_images(path, group, name):
    with ismrmrd.Dataset(path, group, mode="r") as dataset:
        return [dataset.read_image(name, number) for number in range(dataset.number_of_images(name))]


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.uint16, np.int16, np.float64])
def test_images_come_back_through_the_stock_library(tmp_path, dtype):
    rng = np.random.default_rng(0)
    pixels = [(100 * rng.random((1, 3, 5, 4))).astype(dtype) for _ in range(3)]
    if np.dtype(dtype).kind == "c":
        pixels = [(1 - 2j) * p for p in pixels]
    written = [image(p.astype(dtype), index=i + 1) for i, p in enumerate(pixels)]
    with ImageFile(tmp_path / "out.h5", "recon") as file:
        for one in written:
            file.write(one)
    found = stock_images(tmp_path / "out.h5", "recon", "image_1")
    for one, other in zip(found, written, strict=True):
        assert bytes(one.getHead()) == bytes(other.getHead())
        assert one.meta == other.meta
        np.testing.assert_array_equal(one.data, other.data)
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file["recon/image_1"]) == {"data", "header", "attributes"}
        assert file["recon/image_1/data"].shape == (3, 1, 3, 5, 4)


def test_series_and_differing_images_get_groups_of_their_own(tmp_path, caplog):
    small, large = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 6, 4), np.float32)
    with caplog.at_level(logging.WARNING), ImageFile(tmp_path / "out.h5", "recon") as file:
        for pixels, series in ((small, 1), (small, 2), (large, 1), (small, 1), (large, 1), (small.astype("u2"), 1)):
            file.write(image(pixels, series))
        assert file.n_images == 6
    with h5py.File(tmp_path / "out.h5") as stored:
        counts = {name: len(group["data"]) for name, group in stored["recon"].items()}
    assert counts == {"image_1": 2, "image_2": 1, "image_1_2": 2, "image_1_3": 1}
    assert "a new group image_1_2" in caplog.text


class PlannedError(Exception):
    pass


def write_and_fail(path, **options):
    with ImageFile(path, "recon", **options) as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
        raise PlannedError


def test_nothing_is_seen_before_the_end_and_nothing_stays_after_a_failure(tmp_path):
    path = tmp_path / "out.h5"
    with ImageFile(path, "recon") as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with pytest.raises(PlannedError):
        write_and_fail(path)
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_an_older_file_untouched(raw_path):
    before = raw_path.read_bytes()
    with pytest.raises(PlannedError):
        write_and_fail(raw_path)
    assert raw_path.read_bytes() == before
    assert list(raw_path.parent.iterdir()) == [raw_path]


def test_other_groups_are_kept(raw_path):
    lines = read(raw_path)
    with ImageFile(raw_path, "recon") as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
    kept = read(raw_path)
    assert [bytes(a.getHead()) for a in kept] == [bytes(a.getHead()) for a in lines]
    assert len(stock_images(raw_path, "recon", "image_1")) == 1


def test_existing_group_is_refused_or_replaced(tmp_path):
    path = tmp_path / "out.h5"
    for group in ("recon", "other"):
        with ImageFile(path, group) as file:
            file.write(image(np.ones((1, 1, 4, 4), np.float32)))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"group 'recon' exists.*--overwrite"), ImageFile(path, "recon"):
        pytest.fail("the group was opened")
    assert path.read_bytes() == before
    with ImageFile(path, "recon", overwrite=True) as file:
        file.write(image(np.full((1, 1, 4, 4), 2, np.float32)))
    (found,) = stock_images(path, "recon", "image_1")
    assert found.data.max() == 2
    assert len(stock_images(path, "other", "image_1")) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_raw_data_are_never_replaced(raw_path):
    before = raw_path.read_bytes()
    with (
        pytest.raises(InputError, match="group 'dataset' holds raw data"),
        ImageFile(raw_path, "dataset", overwrite=True),
    ):
        pytest.fail("the group was opened")
    assert raw_path.read_bytes() == before


def test_target_that_is_not_hdf5_is_refused(tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("precious")
    with pytest.raises(InputError, match="not an HDF5 file"), ImageFile(path, "recon", overwrite=True):
        pytest.fail("the file was opened")
    assert path.read_text() == "precious"


def test_target_without_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"), ImageFile(tmp_path / "no" / "out.h5", "recon"):
        pytest.fail("the file was opened")


@pytest.mark.parametrize("group", ["", "/", "a/b"])
def test_group_must_be_one_name(tmp_path, group):
    with pytest.raises(InputError, match="one name"):
        ImageFile(tmp_path / "out.h5", group)


def test_atomic_path_replaces_only_on_success(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise PlannedError

    with pytest.raises(PlannedError):
        fail()
    assert target.read_text() == "old"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


# --- pictures


def test_png_window_and_orientation(tmp_path):
    pixels = np.linspace(0, 1, 1000, dtype=np.float32).reshape(25, 40) * np.exp(1j)
    write_png(pixels, tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        assert picture.mode == "L"
        grey = np.asarray(picture)
    assert grey.shape == (25, 40)
    white = np.percentile(np.abs(pixels), 99.5)
    np.testing.assert_array_equal(grey, np.clip(np.rint(np.abs(pixels) / white * 255), 0, 255))


def test_png_of_a_volume_is_a_mosaic(tmp_path):
    volume = np.arange(1, 6, dtype=np.float32)[:, None, None] * np.ones((1, 4, 6), np.float32)
    write_png(image(volume[None]), tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        grey = np.asarray(picture)
    assert grey.shape == (2 * 4, 3 * 6)
    np.testing.assert_array_equal(grey[::4, ::6], [[51, 102, 153], [204, 255, 0]])


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_png_of_nothing_is_black(tmp_path, value):
    write_png(np.full((4, 4), value), tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        assert not np.asarray(picture).any()


def test_png_of_no_image(tmp_path):
    with pytest.raises(ValueError, match="shape"):
        write_png(np.zeros(4), tmp_path / "a.png")
