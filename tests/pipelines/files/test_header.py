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
}


@pytest.mark.parametrize("fault", BAD_HEADERS)
def test_unusable_header(fault):
    change, message = BAD_HEADERS[fault]
    assert change(header_xml()) != header_xml()
    with pytest.raises(InputError, match=message):
        parse_header(change(header_xml()))
