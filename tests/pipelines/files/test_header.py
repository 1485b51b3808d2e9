import logging
import re

import ismrmrd
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulated_header

SETTINGS = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2)


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
        lambda xml: xml.replace(b"<x>32</x>", b"<x>3.2e1</x>"),
        lambda xml: xml.replace(b"<y>12</y>", b"<y>11.9996</y>"),
        lambda xml: xml.replace(b"<z>1</z>", b"<z/>"),
        lambda xml: xml.replace(b"<z>1</z>", b""),
        lambda xml: xml.replace(b">cartesian<", b"> Cartesian <"),
        lambda xml: xml.replace(b">cartesian<", b">trajectoryType.CARTESIAN<"),
    ],
    ids=[
        "nul",
        "nuls",
        "no name space",
        "prefix",
        "unknown element",
        "float for integer",
        "exponent for integer",
        "a quotient for an integer",
        "empty z",
        "no z",
        "capital",
        "name of a Python constant",
    ],
)
def test_header_with_harmless_faults_reads_the_same(change):
    changed = change(header_xml())
    assert changed != header_xml()
    assert parse_header(changed) == simulated_header(SETTINGS)


def with_size(axis, text, space="encodedSpace"):
    """The header with another size of the matrix of a space."""
    before, inside = header_xml().split(f"<{space}>".encode())
    return (
        before
        + f"<{space}>".encode()
        + re.sub(f"<{axis}>[^<]*<".encode(), f"<{axis}>{text}<".encode(), inside, count=1)
    )


@pytest.mark.parametrize(
    ("text", "size"), [("12.05", 12), ("198.2", 198), ("0.96", 1), ("35.9996", 36), ("1.2E+1", 12)]
)
def test_sizes_that_are_nearly_whole_are_rounded(text, size):
    """Converters divide: ismrmrd/philips_to_ismrmrd#4 and #9 (35.9996 partitions), schote/nexus-console#80 (text)."""
    matrix = parse_header(with_size("y", text)).encoding[0].encodedSpace.matrixSize
    assert (matrix.y, type(matrix.y)) == (size, int)


@pytest.mark.parametrize("text", ["11.4", "0", "-12", "0.5", "nan", "inf", "1e30", "70000", "twelve", "12,0"])
def test_sizes_that_are_no_sizes_are_refused_with_what_came(text):
    with pytest.raises(InputError, match=rf"encodedSpace/matrixSize must be three .* got x, y, z = 32, {text}, 1$"):
        parse_header(with_size("y", text))


@pytest.mark.parametrize("text", ["0", "-220", "nan", "inf", "", "22 cm"])
def test_a_field_of_view_that_is_none_is_refused_by_name(text):
    xml = re.sub(rb"(<fieldOfView_mm>\s*<x>)[^<]*", rb"\g<1>" + text.encode(), header_xml(), count=1)
    with pytest.raises(InputError, match=rf"encodedSpace/fieldOfView_mm must be .* = {text or 'None'}, "):
        parse_header(xml)


@pytest.mark.parametrize(
    "change", [(b"<trajectory>cartesian</trajectory>", b""), (b">cartesian<", b"><"), (b">cartesian<", b"> \n<")]
)
def test_a_trajectory_that_is_not_named_is_open_and_told(change, caplog):
    """MagneticResonanceImaging/MRIReco.jl#33, schote/nexus-console#74: converters that leave out what they do not know."""
    assert change[0] in header_xml()
    assert parse_header(header_xml().replace(*change)).encoding[0].trajectory is None
    assert "encoding 0 of the ISMRMRD header names no trajectory: Cartesian lines are assumed" in caplog.text


def described(identifier):
    description = f"<trajectoryDescription><identifier>{identifier}</identifier></trajectoryDescription>"
    return header_xml().replace(b"<trajectory>cartesian</trajectory>", description.encode())


def test_a_description_names_the_trajectory_where_nothing_else_does():
    assert parse_header(described("ConventionalEPI")).encoding[0].trajectory is ismrmrd.xsd.trajectoryType.EPI
    with pytest.raises(InputError, match="has a HargreavesVDS2000 trajectory; only Cartesian"):
        parse_header(described("HargreavesVDS2000"))


def test_an_encoding_off_the_grid_does_not_keep_the_others_from_being_used(caplog):
    before, inside = header_xml().split(b"<encoding>")
    inside, after = inside.split(b"</encoding>")
    both = [b"<encoding>" + part + b"</encoding>" for part in (inside, inside.replace(b">cartesian<", b">kooshball<"))]
    header = parse_header(before + b"".join(both) + after)
    assert [encoding.trajectory.value for encoding in header.encoding] == ["cartesian", "other"]
    assert "encoding 1 of the ISMRMRD header has a kooshball trajectory" in caplog.text


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ("<minimum>0</minimum><maximum>11</maximum>", (0, 6, 11)),
        ("<maximum>7</maximum>", (0, 6, 7)),
        ("<minimum>1</minimum><maximum>4</maximum>", (1, 3, 4)),
        ("<minimum>0</minimum><maximum>11.0</maximum><center>5.9999</center>", (0, 6, 11)),
        ("<maximum>11</maximum><center>0</center>", (0, 0, 11)),
        ("<minimum>0</minimum><center>6</center>", None),
        ("<minimum>0</minimum><maximum>-1</maximum><center>0</center>", None),
        ("<maximum>NaN</maximum>", None),
        ("<maximum>4294967295</maximum>", None),
    ],
)
def test_limits_that_leave_something_out(limits, found):
    """The matrix has 12 lines; limits without an end are none, and a centre that is missing is half the matrix."""
    name = b"kspace_encoding_step_1>"
    before, inside = header_xml().split(b"<encodingLimits>")
    _, after = inside.split(b"</" + name, 1)
    xml = before + b"<encodingLimits><" + name + limits.encode() + b"</" + name + after
    limit = parse_header(xml).encoding[0].encodingLimits.kspace_encoding_step_1
    assert (limit and (limit.minimum, limit.center, limit.maximum)) == found


def test_header_without_optional_parts():
    xml = b"""<ismrmrdHeader><encoding><encodedSpace><matrixSize><x>8</x><y>6</y><z>1</z></matrixSize>
        <fieldOfView_mm><x>8</x><y>6</y><z>5</z></fieldOfView_mm></encodedSpace></encoding></ismrmrdHeader>"""
    header = parse_header(xml)
    assert header.encoding[0].reconSpace.matrixSize.y == 6
    assert header.encoding[0].encodingLimits.slice is None
    assert header.experimentalConditions is None
    assert header.acquisitionSystemInformation is None


@pytest.mark.parametrize("broken", [b"<x>no</x>", b"", b"<x>0</x>", b"<x>-3</x>"])
def test_a_broken_reconstruction_space_is_as_good_as_none(broken, caplog):
    encoded, recon = header_xml().split(b"<reconSpace>")
    header = parse_header(encoded + b"<reconSpace>" + re.sub(rb"<x>[^<]*</x>", broken, recon, count=1))
    assert header.encoding[0].reconSpace == header.encoding[0].encodedSpace
    assert "reconSpace" in caplog.text
    assert "matrixSize must be three positive numbers" in caplog.text


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
    "kooshball": (lambda xml: xml.replace(b">cartesian<", b">kooshball<"), "kooshball trajectory; only Cartesian"),
    "no encoded space": (lambda xml: xml.replace(b"encodedSpace", b"coded"), "encodedSpace/matrixSize must be three"),
    "no field of view": (
        lambda xml: xml.replace(b"fieldOfView_mm", b"fov"),
        "encodedSpace/fieldOfView_mm must be three",
    ),
}


@pytest.mark.parametrize("fault", BAD_HEADERS)
def test_unusable_header(fault):
    change, message = BAD_HEADERS[fault]
    assert change(header_xml()) != header_xml()
    with pytest.raises(InputError, match=message):
        parse_header(change(header_xml()))


UNUSABLE = b"""<encoding><encodedSpace><matrixSize><x>0</x><y>0</y><z>0</z></matrixSize><fieldOfView_mm><x>0</x><y>0</y>
<z>0</z></fieldOfView_mm></encodedSpace><trajectory>cartesian</trajectory></encoding>"""


@pytest.mark.parametrize("place", [0, 1])
def test_an_encoding_without_a_matrix_is_no_matter_beside_one_that_lines_use(place, caplog):
    xml = header_xml()
    changed = xml.replace(b"<encoding>", UNUSABLE + b"<encoding>") if place == 0 else xml
    changed = changed.replace(b"</encoding>", b"</encoding>" + UNUSABLE) if place == 1 else changed
    header = parse_header(changed)
    assert header.encoding[1 - place] == simulated_header(SETTINGS).encoding[0]
    assert vars(header.encoding[place].encodedSpace.matrixSize) == {"x": 1, "y": 1, "z": 1}
    assert f"encoding {place} of the ISMRMRD header: encodedSpace/matrixSize must be three" in caplog.text
