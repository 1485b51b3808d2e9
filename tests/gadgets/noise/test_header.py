import pytest
from ismrmrd import xsd

from nilatron.gadgets.noise.header import (
    bandwidth_ratio,
    coil_names,
    measurement_id,
    noise_dependencies,
    receiver_factor,
    stated_bandwidth_ratio,
)


def with_labels(scan_header, labels):
    header = scan_header((64, 64, 1), bandwidth=0.5)
    header.acquisitionSystemInformation.coilLabel = [
        xsd.coilLabelType(coilNumber=number, coilName=name) for number, name in labels
    ]
    return header


@pytest.mark.parametrize(
    ("labels", "n_channels", "mask", "names"),
    [
        ([(0, "A"), (1, "B"), (2, "C")], 3, (), ("A", "B", "C")),
        ([(2, "C"), (0, "A"), (1, "B")], 3, (), ("A", "B", "C")),  # coilNumber counts, not the order in the header
        ([(3, "C"), (1, "A"), (2, "B")], 3, (), ("A", "B", "C")),  # counted from 1
        ([(3, "C"), (1, "A"), (2, "B")], 2, (0b110,), ("B", "C")),
        ([(0, "C"), (0, "A"), (0, "B")], 3, (), ("C", "A", "B")),  # not counted
        ([(None, "C"), (0, "A"), (1, "B")], 3, (), ("C", "A", "B")),
        ([(0, " A "), (1, None)], 2, (), ("A", "")),
        ([(0, "A"), (1, "B"), (2, "C")], 2, (0b101,), ("A", "C")),
        ([(0, "A"), (1, "B"), (64, "C")], 2, (0b10, 0b1), ("B", "C")),
        ([(0, "A"), (1, "B"), (2, "C")], 2, (0b1001,), None),  # a channel without a label
        ([(0, "A"), (1, "B"), (2, "C")], 2, (0,), None),
        ([(0, "A")], 2, (0b11,), None),
        ([], 2, (0b11,), None),
    ],
)
def test_labels_of_the_channels_of_a_line(scan_header, labels, n_channels, mask, names):
    assert coil_names(with_labels(scan_header, labels), n_channels, mask) == names


def test_headers_that_say_nothing(scan_header):
    header = scan_header((64, 64, 1))
    assert coil_names(header, 4) is None
    assert stated_bandwidth_ratio(header) is None
    assert bandwidth_ratio(header) == 0.793
    assert measurement_id(header) == ""
    assert noise_dependencies(header) == ()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_bandwidth_ratio_that_cannot_be_is_none(scan_header, value):
    assert stated_bandwidth_ratio(scan_header((64, 64, 1), bandwidth=value)) is None


def test_noise_of_a_narrower_receiver_counts_more(scan_header):
    header = scan_header((64, 64, 1), bandwidth=0.8)
    assert receiver_factor(0.4, header) == pytest.approx(2)
    assert receiver_factor(None, header) == 1


def depending(scan_header, own, *dependencies):
    header = scan_header((64, 64, 1))
    header.measurementInformation = xsd.measurementInformationType(
        measurementID=own,
        patientPosition=xsd.patientPositionType.HFS,
        measurementDependency=[
            xsd.measurementDependencyType(dependencyType=kind, measurementID=name) for kind, name in dependencies
        ],
    )
    return header


@pytest.mark.parametrize(
    ("own", "dependencies", "ids"),
    [
        ("7", [("noise", "3")], ("3",)),
        ("7", [("Noise", "3"), ("SenMap", "4")], ("3",)),
        ("66056_41_74_513", [("noise", "66056_41_74_32")], ("66056_41_74_32",)),
        ("66056_41_74_513", [("noise", "32")], ("32", "66056_41_74_32")),  # as Gadgetron completes it
        (None, [("noise", "32")], ("32",)),
        ("7", [("noise", "3"), ("noise", "5")], ("5", "3")),
        ("7", [("noise", "GadgetronNoiseCovarianceMatrix_3_1")], ("3_1",)),
        ("7", [("noise", ""), (None, "3")], ()),
        ("7", [], ()),
    ],
)
def test_measurements_that_a_scan_depends_on(scan_header, own, dependencies, ids):
    header = depending(scan_header, own, *dependencies)
    assert noise_dependencies(header) == ids
    assert measurement_id(header) == (own or "")
