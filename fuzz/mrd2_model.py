"""A model in the manner of MRD v2, small, for streams that the project makes itself: as of 2.1, or of 2.2."""

from __future__ import annotations

import json
from typing import Any

STEPS = ("kspaceEncodingStep0", "kspaceEncodingStep1", "kspaceEncodingStep2")
COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set", "segment")
VECTOR = {"array": {"items": "float32", "dimensions": [{"length": 3}]}}
PIXELS = {
    "Uint16": "uint16",
    "Int16": "int16",
    "Uint32": "uint32",
    "Int32": "int32",
    "Float": "float32",
    "Double": "float64",
    "ComplexFloat": "complexfloat32",
    "ComplexDouble": "complexfloat64",
}


def schema(version: str = "2.2") -> str:
    """The schema of a stream."""
    ns = version == "2.2"
    stamp = {"acquisitionTimeStampNs" if ns else "acquisitionTimeStamp": _maybe("uint64" if ns else "uint32")}
    physiology = {"physiologyTimeStampNs" if ns else "physiologyTimeStamp": _list("uint64" if ns else "uint32")}
    dwell = {"sampleTimeNs": "uint64"} if ns else {"sampleTimeUs": "float32"}
    user = {"userInt": _list("int32"), "userFloat": _list("float32")}
    phase = {"phase": _maybe("Mrd.AcquisitionPhase")} if ns else {}
    tag = (lambda name: name[0].lower() + name[1:]) if ns else str
    sent = ["Acquisition", "WaveformUint32", *(f"Image{name}" for name in PIXELS)]
    sent += ["AcquisitionBucket", "ReconData", "ImageArray", "ArrayComplexFloat"]
    types = [
        _record(
            "AcquisitionHeader",
            {
                "flags": "Mrd.AcquisitionFlags",
                "idx": "Mrd.EncodingCounters",
                "measurementUid": "uint32",
                "scanCounter": _maybe("uint32"),
                **stamp,
                **physiology,
                "channelOrder": _list("uint32"),
                **{
                    name: _maybe("uint32") for name in ("discardPre", "discardPost", "centerSample", "encodingSpaceRef")
                },
                **{name: _maybe(form) for name, form in dwell.items()},
                **dict.fromkeys(("position", "readDir", "phaseDir", "sliceDir", "patientTablePosition"), VECTOR),
                **user,
            },
        ),
        {"name": "AcquisitionFlags", "base": "uint64", "values": [{"symbol": "isNoiseMeasurement", "value": 1 << 18}]},
        _record(
            "EncodingCounters",
            {
                **{name: _maybe("uint32") for name in ("kspaceEncodeStep1", "kspaceEncodeStep2", *COUNTERS)},
                "user": _list("uint32"),
            },
        ),
        _record(
            "Acquisition",
            {
                "head": "Mrd.AcquisitionHeader",
                "data": _array("complexfloat32", "coils", "samples"),
                **phase,
                "trajectory": _array("float32", "basis", "samples"),
            },
        ),
        {"name": "AcquisitionPhase", "type": _array("float32", "samples")},
        _record(
            "Waveform",
            {
                "flags": "uint64",
                "measurementUid": "uint32",
                "scanCounter": "uint32",
                "timeStampNs" if ns else "timeStamp": "uint64" if ns else "uint32",
                **dwell,
                "waveformId": "uint32",
                "data": _array("T", "channels", "samples"),
            },
            "T",
        ),
        {"name": "WaveformUint32", "type": {"name": "Mrd.Waveform", "typeArguments": ["uint32"]}},
        _record(
            "ImageHeader",
            {
                "flags": "uint64",
                "measurementUid": "uint32",
                **dict.fromkeys(
                    ("fieldOfView", "position", "colDir", "lineDir", "sliceDir", "patientTablePosition"), VECTOR
                ),
                **{name: _maybe("uint32") for name in COUNTERS[:-1]},
                **stamp,
                **physiology,
                "imageType": "Mrd.ImageType",
                "imageIndex": _maybe("uint32"),
                "imageSeriesIndex": _maybe("uint32"),
                **user,
            },
        ),
        _enum("ImageType", "magnitude", "phase", "real", "imag", "complex", first=1),
        _record(
            "Image",
            {
                "head": "Mrd.ImageHeader",
                "data": {"name": "Mrd.ImageData", "typeArguments": ["T"]},
                "meta": "Mrd.ImageMeta",
            },
            "T",
        ),
        {"name": "ImageData", "typeParameters": ["Y"], "type": _array("Y", "channel", "z", "y", "x")},
        {"name": "ImageMeta", "type": {"map": {"keys": "string", "values": _list("Mrd.ImageMetaValue")}}},
        {"name": "ImageMetaValue", "type": [{"tag": name, "type": name} for name in ("string", "int64", "float64")]},
        *({"name": f"Image{n}", "type": {"name": "Mrd.Image", "typeArguments": [p]}} for n, p in PIXELS.items()),
        _record(
            "AcquisitionBucket",
            {
                "data": _list("Mrd.Acquisition"),
                "ref": _list("Mrd.Acquisition"),
                "datastats": _list("Mrd.EncodingLimitsType"),
                "refstats": _list("Mrd.EncodingLimitsType"),
                "waveforms": _list("Mrd.WaveformUint32"),
            },
        ),
        _record("EncodingLimitsType", {name: _maybe("Mrd.LimitType") for name in (*STEPS, *COUNTERS)}),
        _record("LimitType", dict.fromkeys(("minimum", "maximum", "center"), "uint32")),
        _record("FieldOfViewMm", dict.fromkeys("xyz", "float32")),
        _record("MatrixSizeType", dict.fromkeys("xyz", "uint32")),
        _record("SamplingLimits", dict.fromkeys(STEPS, "Mrd.LimitType")),
        _record(
            "SamplingDescription",
            {
                **dict.fromkeys(("encodedFOV", "reconFOV"), "Mrd.FieldOfViewMm"),
                **dict.fromkeys(("encodedMatrix", "reconMatrix"), "Mrd.MatrixSizeType"),
                "samplingLimits": "Mrd.SamplingLimits",
            },
        ),
        _record(
            "ReconBuffer",
            {
                "data": _array("complexfloat32", "loc", "s", "n", "chan", "e2", "e1", "e0"),
                "trajectory": _array("float32", "loc", "s", "n", "e2", "e1", "basis", "samples"),
                "density": _maybe(_array("float32", "loc", "s", "n", "e2", "e1", "e0")),
                "headers": _array("Mrd.AcquisitionHeader", "loc", "s", "n", "e2", "e1"),
                "sampling": "Mrd.SamplingDescription",
            },
        ),
        _record("ReconAssembly", {"data": "Mrd.ReconBuffer", "ref": _maybe("Mrd.ReconBuffer")}),
        _record("ReconData", {"buffers": _list("Mrd.ReconAssembly")}),
        _record(
            "ImageArray",
            {
                "data": _array("complexfloat32", "loc", "s", "n", "channel", "z", "y", "x"),
                "headers": _array("Mrd.ImageHeader", "loc", "s", "n"),
                "meta": _array("Mrd.ImageMeta", "loc", "s", "n"),
                "waveforms": _list("Mrd.WaveformUint32"),
            },
        ),
        {"name": "Array", "typeParameters": ["T"], "type": {"array": {"items": "T"}}},
        {"name": "ArrayComplexFloat", "type": {"name": "Mrd.Array", "typeArguments": ["complexfloat32"]}},
        {"name": "StreamItem", "type": [{"tag": tag(name), "type": f"Mrd.{name}"} for name in sent]},
        *_header_types(),
    ]
    sequence = [
        {"name": "header", "type": [None, "Mrd.Header"]},
        {"name": "data", "type": {"stream": {"items": "Mrd.StreamItem"}}},
    ]
    return json.dumps({"protocol": {"name": "Mrd", "sequence": sequence}, "types": types}, separators=(",", ":"))


def _header_types() -> list[Any]:
    text, space = _maybe("string"), "Mrd.EncodingSpaceType"
    return [
        _record(
            "Header",
            {
                "version": _maybe("int64"),
                "subjectInformation": _maybe("Mrd.SubjectInformationType"),
                "measurementInformation": _maybe("Mrd.MeasurementInformationType"),
                "acquisitionSystemInformation": _maybe("Mrd.AcquisitionSystemInformationType"),
                "experimentalConditions": "Mrd.ExperimentalConditionsType",
                "encoding": _list("Mrd.EncodingType"),
                "sequenceParameters": _maybe("Mrd.SequenceParametersType"),
                "userParameters": _maybe("Mrd.UserParametersType"),
            },
        ),
        _record(
            "SubjectInformationType",
            {"patientID": text, "patientBirthdate": _maybe("date"), "patientGender": _maybe("Mrd.PatientGender")},
        ),
        _enum("PatientGender", "m", "f", "o"),
        _record(
            "MeasurementInformationType",
            {
                "measurementID": text,
                "seriesTime": _maybe("time"),
                "patientPosition": "Mrd.PatientPosition",
                "protocolName": text,
                "measurementDependency": _list("Mrd.MeasurementDependencyType"),
            },
        ),
        _enum("PatientPosition", "hFP", "hFS"),
        _record("MeasurementDependencyType", dict.fromkeys(("dependencyType", "measurementID"), "string")),
        _record(
            "AcquisitionSystemInformationType",
            {
                "systemFieldStrengthT": _maybe("float32"),
                "relativeReceiverNoiseBandwidth": _maybe("float32"),
                "receiverChannels": _maybe("uint32"),
                "coilLabel": _list("Mrd.CoilLabelType"),
            },
        ),
        _record("CoilLabelType", {"coilNumber": "uint32", "coilName": "string"}),
        _record("ExperimentalConditionsType", {"h1resonanceFrequencyHz": "int64"}),
        _record("EncodingSpaceType", {"matrixSize": "Mrd.MatrixSizeType", "fieldOfViewMm": "Mrd.FieldOfViewMm"}),
        _record(
            "EncodingType",
            {
                "encodedSpace": space,
                "reconSpace": space,
                "encodingLimits": "Mrd.EncodingLimitsType",
                "trajectory": "Mrd.Trajectory",
                "parallelImaging": _maybe("Mrd.ParallelImagingType"),
            },
        ),
        _enum("Trajectory", "cartesian", "epi", "radial", "goldenangle", "spiral", "other"),
        _record(
            "ParallelImagingType",
            {"accelerationFactor": "Mrd.AccelerationFactorType", "calibrationMode": _maybe("Mrd.CalibrationMode")},
        ),
        _record("AccelerationFactorType", dict.fromkeys(STEPS[1:], "uint32")),
        _enum("CalibrationMode", "noacceleration", "embedded", "interleaved", "separate", "external", "other"),
        _record("SequenceParametersType", {"tR": _list("float32"), "tE": _list("float32"), "sequenceType": text}),
        _record(
            "UserParametersType",
            {
                "userParameterLong": _list("Mrd.UserParameterLongType"),
                "userParameterBase64": _list("Mrd.UserParameterBase64Type"),
            },
        ),
        _record("UserParameterLongType", {"name": "string", "value": "int64"}),
        _record("UserParameterBase64Type", {"name": "string", "value": "string"}),
    ]


def _record(name: str, fields: dict[str, Any], *parameters: str) -> dict[str, Any]:
    entries = [{"name": field, "type": form} for field, form in fields.items()]
    return {"name": name, **({"typeParameters": list(parameters)} if parameters else {}), "fields": entries}


def _enum(name: str, *words: str, first: int = 0) -> dict[str, Any]:
    return {"name": name, "values": [{"symbol": word, "value": place} for place, word in enumerate(words, first)]}


def _maybe(form: Any) -> list[Any]:
    return [None, form]


def _list(items: Any) -> dict[str, Any]:
    return {"vector": {"items": items}}


def _array(items: str, *axes: str) -> dict[str, Any]:
    return {"array": {"items": items, "dimensions": [{"name": axis} for axis in axes]}}
