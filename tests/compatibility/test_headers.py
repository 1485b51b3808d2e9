"""Headers and configurations as they come, and scans of unusual size."""

import re

import numpy as np
import pytest
from ismrmrd.xsd import ToXML

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone


def xml_of(scan):
    return ToXML(scan.header).encode()


def without(*names):
    def edit(xml):
        for name in names:
            xml, count = re.subn(rb"<(ns0:)?%b>.*?</(ns0:)?%b>" % (name, name), b"", xml, flags=re.S)
            assert count
        return xml

    return edit


def with_more(text):
    return lambda xml: re.sub(rb"(</[^>]*ismrmrdHeader>)", text + rb"\1", xml)


def named(name, encoding):
    return lambda xml: re.sub(rb"(?<=patientID>)phantom", name.encode(encoding), xml)


HEADERS = {
    "sections missing": without(
        b"measurementInformation",
        b"subjectInformation",
        b"acquisitionSystemInformation",
        b"experimentalConditions",
    ),
    "unknown elements": with_more(b"<newThing><deep>1</deep></newThing>"),
    "NUL at the end": lambda xml: xml + b"\0",
    "name in UTF-8": named("Zoë Müller 李", "utf-8"),
    "name in Latin-1, though it says UTF-8": named("Zoë Müller", "latin-1"),
    "1 MB": with_more(
        b"<userParameters>"
        + b"<userParameterString><name>a</name><value>b</value></userParameterString>" * 16000
        + b"</userParameters>"
    ),
    "no limits of the second step": without(b"kspace_encoding_step_2"),
    "no limits": without(b"encodingLimits"),
    "a limit without a maximum": lambda xml: xml.replace(b"<maximum>0</maximum>", b""),
    "another version": lambda xml: re.sub(rb"(<[^/>]*ismrmrdHeader[^>]*>)", rb"\1<version>99</version>", xml),
}


@pytest.mark.row("F2.20")
@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_are_not_as_they_should_be(simulated, converse, kind):
    scan = simulated(acceleration=2, n_slices=2)
    xml = HEADERS[kind](xml_of(scan))
    assert xml != xml_of(scan)
    reply = converse(xml, scan.items)
    assert reply.error is None
    assert len(reply.images) == 2
    assert all(scan.error_of(image, image.slice) < 0.04 for image in reply.images)


@pytest.mark.row("F2.21")
@pytest.mark.parametrize("n_coils", [1, 2, 32, 64, 128])
def test_numbers_of_channels(simulated, converse, n_coils):
    scan = simulated(n_coils=n_coils, matrix=(32, 32, 1), noise_lines=64)
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.02


@pytest.mark.row("F2.21")
def test_one_line(simulated, converse):
    scan = simulated(n_coils=2)
    reply = converse(scan, [*scan.noise, scan.imaging[20]])
    (image,) = reply.images
    assert np.isfinite(image.data).all()


@pytest.mark.row("F2.21")
def test_long_readouts_in_a_matrix_of_one_line(simulated, converse):
    scan = simulated(n_coils=1, matrix=(8192, 1, 1), fov_mm=(8192.0, 4.0, 5.0), noise_lines=1)
    assert scan.imaging[0].number_of_samples == 16384
    reply = converse(scan, target="zero_filled")
    assert reply.error is None
    (image,) = reply.images
    assert image.data.shape == (1, 1, 1, 8192)


@pytest.mark.row("F2.21")
def test_a_matrix_of_1024_squared(simulated, converse):
    reply = converse(
        simulated(matrix=(1024, 1024, 1), n_coils=1, noise_lines=1, readout_oversampling=1.0), target="zero_filled"
    )
    assert reply.error is None
    (image,) = reply.images
    assert image.data.shape == (1, 1, 1024, 1024)


@pytest.mark.row("F2.22")
@pytest.mark.parametrize(
    "configuration",
    [b"<configuration/>", b"<configuration></configuration>\0", b"", b'<?xml version="1.0"?>\n', b"\0"],
    ids=["empty", "empty, NUL", "nothing", "no <configuration> in the chain", "NUL"],
)
def test_no_properties(simulated, converse, configuration):
    reply = converse(simulated(), configuration=configuration)
    assert reply.error is None
    assert len(reply.images) == 1


@pytest.mark.row("F2.22")
@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (b'<configuration><property name="stepz" value="3"/></configuration>', ["cg_sense", "'stepz'", "it has:"]),
        (b'<configuration><property name="seed" value="many"/></configuration>', ["'seed'", "'many'", "whole number"]),
        (
            b'<configuration><property name="pixel_type" value="int3"/></configuration>',
            ["pixel_type", "one of float32"],
        ),
        (b'<configuration><property name="seed"/></configuration>', ["property"]),
        (b"<configuration>", ["is not XML"]),
        (b"\xff\xfe\x00", ["is not XML"]),
        (b'<?xml version="1.0" encoding="UTF-4"?><configuration/>', ["is not XML"]),
    ],
)
def test_properties_that_cannot_be_used(simulated, converse, configuration, said):
    reply = converse(simulated(), configuration=configuration)
    assert not reply.images
    assert all(part in reply.error for part in said)
    assert "Traceback" not in reply.error
    assert "Error:" not in reply.error
