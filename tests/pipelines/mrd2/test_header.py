"""Headers: every field that both have comes back as it was; what one lacks is told."""

import ismrmrd.xsd as xsd
import pytest
from xsdata.models.datatype import XmlDate, XmlTime

from nilatron.pipelines.mrd2.header import header_record, header_xml, plain
from nilatron.pipelines.wire import MalformedError


@pytest.fixture
def header(scan):
    header = xsd.CreateFromDocument(scan[0])
    header.version, header.waveformInformation = 3, []  # this and the vendor are not in the small model
    header.acquisitionSystemInformation.systemVendor = None
    header.subjectInformation = xsd.subjectInformationType(
        patientID="Ünique & <1>", patientBirthdate=XmlDate(1969, 7, 20), patientGender="F"
    )
    header.measurementInformation = xsd.measurementInformationType(
        measurementID="36_74_5",
        seriesTime=XmlTime(12, 34, 56, 789_000_000),
        patientPosition=xsd.patientPositionType.HFP,
        protocolName="t2",
        measurementDependency=[xsd.measurementDependencyType(dependencyType="Noise", measurementID="36_74_2")],
    )
    header.acquisitionSystemInformation.systemFieldStrength_T = 2.89362
    header.acquisitionSystemInformation.coilLabel = [xsd.coilLabelType(coilNumber=1, coilName="H:1")]
    header.sequenceParameters = xsd.sequenceParametersType(TR=[2.6, 0.1], TE=[], sequence_type="gre")
    header.userParameters = xsd.userParametersType(
        userParameterLong=[xsd.userParameterLongType(name="n", value=-(1 << 40))],
        userParameterBase64=[xsd.userParameterBase64Type(name="b", value=b"\0\xff")],
    )
    return header


def xml_of(header):
    return xsd.ToXML(header).encode("ascii", "xmlcharrefreplace")


def test_all_that_both_have_comes_back_as_it_was(small_model, header, caplog):
    codec = small_model.step("header").codec
    record = header_record(xml_of(header), codec)
    assert record["measurementInformation"]["measurementDependency"] == [
        {"dependencyType": "Noise", "measurementID": "36_74_2"}
    ]
    assert record["sequenceParameters"]["tR"][0] == pytest.approx(2.6)
    assert xsd.CreateFromDocument(header_xml(record, codec)) == header
    assert "no place" not in caplog.text


def test_what_one_side_lacks_is_told(small_model, header, caplog):
    codec = small_model.step("header").codec
    header.subjectInformation.patientName = "who"
    record = header_record(xml_of(header), codec)
    assert "MRD v2 has no place for: subjectInformation.patientName" in caplog.text
    caplog.clear()
    record["encoding"][0]["trajectory"] = 99
    assert b"<encoding>" not in header_xml(record, codec)
    assert "encoding.trajectory = 99" in caplog.text
    record["encoding"][0]["trajectory"] = 0
    record["subjectInformation"]["patientBirthdate"] = 1 << 40
    assert b"patientBirthdate" not in header_xml(record, codec)
    assert "subjectInformation.patientBirthdate" in caplog.text


def test_a_position_that_v2_demands_is_the_usual_one(small_model, header):
    codec = small_model.step("header").codec
    header.measurementInformation = None
    xml = xml_of(header)
    assert header_record(xml, codec)["measurementInformation"] is None
    xml = xml.replace(b"<encoding>", b"<measurementInformation/><encoding>", 1)
    assert header_record(xml, codec)["measurementInformation"]["patientPosition"] == 1


def test_what_v1_demands_must_be_there(small_model, header):
    codec = small_model.step("header").codec
    record = header_record(xml_of(header), codec)
    record["experimentalConditions"] = None
    with pytest.raises(MalformedError, match="lacks what ISMRMRD v1 demands"):
        header_xml(record, codec)


def test_what_is_no_header_is_refused(small_model):
    with pytest.raises(MalformedError, match="not XML"):
        header_record(b"<a", small_model.step("header").codec)


def test_names_of_both_are_alike():
    pairs = [
        ("kspace_encoding_step_1", "kspaceEncodingStep1"),
        ("H1resonanceFrequency_Hz", "h1resonanceFrequencyHz"),
        ("TR", "tR"),
        ("fieldOfView_mm", "fieldOfViewMm"),
    ]
    assert all(plain(first) == plain(second) for first, second in pairs)
