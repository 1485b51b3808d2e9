"""Raw files as older and foreign writers lay them out: the same images, or one line that names what is wrong."""

import re

import h5py
import ismrmrd.hdf5
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

HEAD = ismrmrd.hdf5.acquisition_header_dtype


@pytest.fixture(scope="module")
def layouts(load):
    return load("tests/pipelines/files/conftest.py")


@pytest.fixture(scope="module")
def expected(scan_path, tmp_path_factory):
    """Pixels of the scan as it is."""
    from nilatron.pipelines.replay.run import replay
    from nilatron.pipelines.replay.settings import ReplaySettings

    out = tmp_path_factory.mktemp("plain") / "out.h5"
    replay(ReplaySettings(scan_path, out, "zero_filled", output_group="images"))
    return pixels(out)


def pixels(path):
    with h5py.File(path) as file:
        return file["images/image_1/data"][:]


@pytest.fixture
def reconstruct(command, raw, folder):
    def run():
        code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images")
        return code, err

    return run


def pair(real, imag, kind="f4"):
    """Samples as compounds."""
    dtype = np.dtype([(real, kind), (imag, kind)])

    def convert(floats):
        made = np.zeros(len(floats) // 2, dtype)
        made[real], made[imag] = floats[::2], floats[1::2]
        return made

    return {"samples": (dtype, convert)}


def heads(**changes):
    return lambda layouts: {"head": layouts.fields(HEAD, **changes)}


SAME = {
    "8 physiology time stamps": heads(physiology_time_stamp=("u4", 8)),  # ISMRMRD until 2014
    "no physiology time stamps, 2 user_int": heads(physiology_time_stamp=None, user_int=("i4", 2)),
    "4 words of channel mask": heads(channel_mask=("u8", 4)),
    "16-bit signed": heads(number_of_samples="i2", flags="i8"),  # MagneticResonanceImaging/MRIReco.jl#68
    "doubles": heads(number_of_samples="f8", active_channels="f8", position=("f8", 3)),
    "padded": lambda _: {"head": np.dtype(HEAD.descr, align=True)},  # MagneticResonanceImaging/MRIReco.jl#25, #167
    "big-endian": lambda _: {"head": HEAD.newbyteorder(">"), "samples": (">f4", lambda floats: floats.astype(">f4"))},
    "no centre, no discarded samples": heads(center_sample=None, discard_pre=None, discard_post=None),
    "(real, imag)": lambda _: pair("real", "imag"),  # MagneticParticleImaging/MDF#70
    "(r, i), doubles": lambda _: pair("r", "i", "f8"),
    "complex64": lambda _: {"samples": (np.complex64, lambda floats: floats.view(np.complex64))},
    "doubles in turn": lambda _: {"samples": (np.float64, lambda floats: floats)},
    "trajectories of odd lengths": lambda _: {"trajectory": lambda n: np.ones(n + 1, np.float32)},
    "one column, compressed": lambda _: {"shape": (-1, 1), "chunks": (4, 1), "compression": "gzip"},
}


@pytest.mark.row("F2.36")
@pytest.mark.parametrize("layout", SAME)
def test_lines_in_other_layouts_give_the_same_image(raw, layouts, reconstruct, folder, expected, layout):
    layouts.rewrite(raw, **SAME[layout](layouts))
    code, err = reconstruct()
    assert code == 0, err
    assert np.array_equal(pixels(folder / "out.h5"), expected)


REFUSED = {
    "no flags": (heads(flags=None), "the heads lack flags"),
    "no counters": (heads(idx=None), "the heads lack idx.kspace_encode_step_1, "),
    "4 coordinates": (heads(position=("f4", 4)), "position in the heads has 4 values, not 3"),
    "opaque": (lambda _: {"head": np.dtype([("bytes", "u1", (340,))])}, "the heads lack flags, number_of_samples"),
    "samples (x, y)": (lambda _: pair("x", "y"), "line 0 has samples of type [('x', '<f4'), ('y', '<f4')]; expected"),
    "text": (
        lambda _: {"samples": ("S8", lambda _: np.full(4, b"1+2j"))},
        "line 0 has samples of type |S8; expected",
    ),
    "half of them": (
        lambda _: {"samples": (np.float32, lambda floats: floats[::2])},
        "complex samples, its header announces",
    ),
}


@pytest.mark.row("F2.36")
@pytest.mark.parametrize("layout", REFUSED)
def test_layouts_that_lose_something_are_refused_in_one_line(raw, layouts, reconstruct, folder, layout):
    make, message = REFUSED[layout]
    layouts.rewrite(raw, **make(layouts))
    code, err = reconstruct()
    assert code == 2
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []


def edit_header(path, change):
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0]
        file["dataset/xml"][0] = change(xml)
        assert file["dataset/xml"][0] != xml


def without(*names):
    def edit(xml):
        for name in names:
            xml = re.sub(rb"<%b>.*?</%b>" % (name, name), b"", xml, flags=re.S)
        return xml

    return edit


HEADERS = {
    "no trajectory": without(b"trajectory"),  # schote/nexus-console#74
    "an empty trajectory": lambda xml: xml.replace(b">cartesian<", b"><"),
    "no trajectory, no limits, no system": without(b"trajectory", b"encodingLimits", b"acquisitionSystemInformation"),
    "limits without centre and minimum": without(b"center", b"minimum"),
    "sizes as quotients": lambda xml: xml.replace(b"<y>20</y>", b"<y>19.9996</y>"),  # ismrmrd/philips_to_ismrmrd#4
    "sizes with exponents": lambda xml: xml.replace(b"<x>24</x>", b"<x>2.4E+01</x>").replace(b">220.0<", b">220<"),
    "no z": without(b"z"),  # ismrmrd/siemens_to_ismrmrd#108: an encoding whose z is empty
    "a mark in front": lambda xml: b"\xef\xbb\xbf" + xml,
    "an element twice nested": lambda xml: xml.replace(  # JuliaHealth/KomaMRI.jl#214
        b"</ismrmrdHeader>", b"<userParameters><userParameters/></userParameters></ismrmrdHeader>"
    ),
    "an older version": lambda xml: xml.replace(
        b"<encoding>", b"<version>3</version><encoding>", 1
    ),  # SyneRBI/SIRF#1021
}


@pytest.mark.row("F2.36")
@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_leave_out_what_they_may_give_the_same_image(raw, reconstruct, folder, expected, kind):
    edit_header(raw, HEADERS[kind])
    if kind == "no z":
        edit_header(
            raw, lambda xml: re.sub(rb"(<fieldOfView_mm>.*?)(</fieldOfView_mm>)", rb"\1<z>5</z>\2", xml, flags=re.S)
        )
    code, err = reconstruct()
    assert code == 0, err
    assert np.allclose(pixels(folder / "out.h5"), expected, rtol=2e-3 if "system" in kind else 0, atol=0)


@pytest.mark.row("F2.36")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"<y>20</y>", b"<y>19.4</y>", "encodedSpace/matrixSize must be three positive numbers"),
        (b"<y>20</y>", b"<y>-20</y>", "got x, y, z = 48, -20, 1"),
        (b"<x>48</x>", b"<x>0</x>", "got x, y, z = 0, 20, 1"),
        (b">cartesian<", b">kooshball<", "kooshball trajectory; only Cartesian"),
        (b"encodedSpace", b"encodingSpace", "encodedSpace/matrixSize must be three positive numbers"),
    ],
)
def test_headers_that_cannot_be_used_name_the_element(raw, reconstruct, folder, old, new, message):
    edit_header(raw, lambda xml: xml.replace(old, new))
    code, err = reconstruct()
    assert code == 2
    assert message in err.splitlines()[-1]
    assert list(folder.iterdir()) == []


@pytest.mark.row("F2.36")
def test_lines_that_contradict_the_assumed_grid_are_refused(raw, layouts, reconstruct):
    """MagneticResonanceImaging/MRIReco.jl#33: the header names no trajectory, the lines bring a radial one."""
    turns = iter(np.linspace(0, np.pi, 60))

    def spoke(n_samples):
        turn, along = next(turns), np.linspace(-0.5, 0.5, n_samples)
        return np.stack([along * np.cos(turn), along * np.sin(turn)], axis=1).astype(np.float32).ravel()

    edit_header(raw, without(b"trajectory"))
    layouts.rewrite(raw, trajectory=spoke)
    code, err = reconstruct()
    assert code == 2
    assert "though encoding 0 is Cartesian by the header" in err.splitlines()[-1]


@pytest.mark.row("F2.36")
@pytest.mark.parametrize("is_straight", [True, False])
def test_streams_whose_header_names_no_trajectory(simulated, converse, is_straight):
    scan = simulated()
    xml, count = re.subn(rb"<(ns0:)?trajectory>[^<]*</(ns0:)?trajectory>", b"", ToXML(scan.header).encode())
    assert count == 1

    def with_path(line):
        head, along = line.getHead(), np.linspace(-0.5, 0.5, line.number_of_samples)
        head.trajectory_dimensions = 2
        across = np.full_like(along, line.idx.kspace_encode_step_1) if is_straight else along**2
        return ismrmrd.Acquisition(head, np.array(line.data), np.stack([along, across], axis=1).astype(np.float32))

    reply = converse(xml, [with_path(line) for line in scan.lines])
    if is_straight:
        assert reply.error is None
        assert scan.error_of(reply.images[0]) < 0.1
    else:
        assert "though encoding 0 is Cartesian by the header" in reply.error
