import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.statements import EVERY, N_CHECKED, StatementCheck, check_header

xsd = ismrmrd.xsd
K = (np.arange(16) - 8) / 16


def multiband(factor):
    return xsd.multibandType(
        spacing=[xsd.multibandSpacingType(dZ=[30.0])],
        deltaKz=0.1,
        multiband_factor=factor,
        calibration=xsd.multibandCalibrationType.SEPARABLE2_D,
        calibration_encoding=0,
    )


@pytest.fixture
def header(scan_header):
    return scan_header((16, 8, 1), mode="embedded")


def parameters(kind, name, value):
    make = {
        "Long": xsd.userParameterLongType,
        "Double": xsd.userParameterDoubleType,
        "String": xsd.userParameterStringType,
    }
    return {f"userParameter{kind}": [make[kind](name=name, value=value)]}


@pytest.mark.parametrize(("factor", "refused"), [(2, True), (4, True), (1, False)])
def test_a_multiband_element_is_refused(header, factor, refused):
    header.encoding[0].parallelImaging.multiband = multiband(factor)
    if refused:
        with pytest.raises(ScanError, match=f"multiband of factor {factor}; simultaneous slices cannot be separated"):
            check_header(header)
    else:
        check_header(header)


@pytest.mark.parametrize("kind", ["Long", "Double", "String"])
@pytest.mark.parametrize(
    "name",
    [
        "MultiBandFactor",
        "lMultiBandFactor",
        "sSliceAcceleration.lMultiBandFactor",
        "multiband_factor",
        "SMS",
        "sms_factor",
        "MB",
    ],
)
def test_multiband_parameters_are_refused_by_their_name(header, kind, name):
    value = "3" if kind == "String" else 3
    header.userParameters = xsd.userParametersType(**parameters(kind, name, value))
    with pytest.raises(ScanError, match=f"userParameters says {name} = 3"):
        check_header(header)
    header.userParameters = xsd.userParametersType(**parameters(kind, name, "1" if kind == "String" else 1))
    check_header(header)


def test_multiband_in_a_trajectory_description_is_refused(header):
    header.encoding[0].trajectoryDescription = xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI", **parameters("Long", "MultiBandFactor", 2)
    )
    with pytest.raises(ScanError, match="trajectoryDescription says MultiBandFactor = 2"):
        check_header(header)


@pytest.mark.parametrize(
    ("dimension", "refused"), [("average", True), ("segment", True), ("repetition", False), ("contrast", False)]
)
def test_diffusion_weightings_that_would_be_averaged_are_refused(header, dimension, refused):
    header.sequenceParameters = xsd.sequenceParametersType(diffusionDimension=xsd.diffusionDimensionType(dimension))
    if refused:
        with pytest.raises(ScanError, match=f"diffusionDimension is '{dimension}'"):
            check_header(header)
    else:
        check_header(header)


def test_harmless_statements_pass(header):
    encoding = header.encoding[0]
    encoding.echoTrainLength = 8
    encoding.parallelImaging.interleavingDimension = xsd.interleavingDimensionType.REPETITION
    header.sequenceParameters = xsd.sequenceParametersType(TR=[5.0], echo_spacing=[0.5], sequence_type="EPI")
    header.userParameters = xsd.userParametersType(
        userParameterLong=[xsd.userParameterLongType(name="NumberOfThumbs", value=4)],
        userParameterString=[xsd.userParameterStringType(name="MultiBandMode", value="off")],
    )
    header.waveformInformation = [
        xsd.waveformInformationType(
            waveformName="grad",
            waveformType=xsd.waveformInformationTypeWaveformType.GRADIENTWAVEFORM,
            userParameters=xsd.userParametersType(),
        )
    ]
    check_header(header)


def test_only_what_becomes_an_image_is_refused(header, make_line):
    header.encoding[0].parallelImaging.multiband = multiband(2)
    noise = make_line(np.ones((2, 16)), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    other = make_line(np.ones((2, 16)), ismrmrd.ACQ_IS_NAVIGATION_DATA)
    assert list(StatementCheck()([noise, other], Context(header))) == [noise, other]
    for item in (
        make_line(np.ones((2, 16))),
        make_line(np.ones((2, 16)), ismrmrd.ACQ_IS_PARALLEL_CALIBRATION),
        object(),
    ):
        with pytest.raises(ScanError, match="multiband"):
            list(StatementCheck()([noise, item], Context(header)))


@pytest.fixture
def line_along(make_line):
    def make(*axes, **more):
        line = make_line(np.ones((2, len(axes[0]))), **more)
        head = line.getHead()
        head.trajectory_dimensions = len(axes)
        return ismrmrd.Acquisition(head, np.array(line.data), np.stack(axes, axis=1).astype(np.float32))

    return make


def passed(header, lines):
    return list(StatementCheck()(lines, Context(header)))


def test_lines_along_the_grid_pass_and_so_do_paths_without_sense(header, line_along):
    rng = np.random.default_rng(0)
    lines = [line_along(K, np.full(16, y / 8)) for y in range(8)]
    lines += [line_along(*rng.standard_normal((2, 16))), line_along(np.zeros(16), np.zeros(16))]
    assert passed(header, lines) == lines


def test_spokes_under_a_cartesian_header_are_refused(header, line_along):
    spokes = [line_along(K * np.cos(a), K * np.sin(a)) for a in np.arange(8) * np.pi / 8]
    with pytest.raises(ScanError, match=r"trajectory that moves along more than one axis, though .* Cartesian"):
        passed(header, spokes)
    crossed = [line_along(K, 0 * K), line_along(0 * K, K)]
    with pytest.raises(ScanError, match="runs along axis 1, earlier ones along axis 0"):
        passed(header, crossed)


def test_ramps_in_the_lines_are_refused_unless_the_header_describes_them(header, line_along):
    lines = [line_along(np.sign(K) * np.abs(K) ** 1.5)]
    with pytest.raises(ScanError, match="is not equidistant"):
        passed(header, lines)
    names = {"rampUpTime": 60, "rampDownTime": 60, "flatTopTime": 200}
    header.encoding[0].trajectoryDescription = xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI",
        userParameterLong=[xsd.userParameterLongType(name=name, value=value) for name, value in names.items()],
    )
    assert passed(header, lines) == lines


def test_after_the_first_lines_only_some_are_looked_at(header, line_along):
    lines = [line_along(K, 0 * K)] * N_CHECKED + [line_along(K, K)]
    assert passed(header, lines) == lines
    with pytest.raises(ScanError, match="moves along more than one axis"):
        passed(header, lines + [line_along(K, K)] * (EVERY - 1))


@pytest.mark.parametrize(
    ("identifier", "is_refused"),
    [("HargreavesVDS2000", True), ("Spiral", True), ("ConventionalEPI", False), ("", False)],
)
def test_descriptions_of_spirals_are_refused_by_their_name(header, identifier, is_refused):
    header.encoding[0].trajectoryDescription = xsd.trajectoryDescriptionType(identifier=identifier)
    if is_refused:
        with pytest.raises(ScanError, match=f"trajectoryDescription '{identifier}'; spirals are not on a grid"):
            check_header(header)
    else:
        check_header(header)
