"""nilatron.replay: the images of `nilatron replay`, in memory."""

import ismrmrd
import numpy as np
import pytest

import nilatron
from nilatron.core.prior.weights import shipped_weights
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(
    matrix=(32, 24, 1), n_coils=3, n_slices=2, acceleration=2, calibration_lines=12, noise_std=0.05
)
WORDS = {"weights": "tiny", "device": "cpu", "steps": 3}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "scan.h5"
    simulate(path, SCAN)
    return path


def test_the_images_are_those_of_the_command(raw, tmp_path):
    found = nilatron.replay(raw, **WORDS)
    output = tmp_path / "images.h5"
    replay(ReplaySettings(raw, output, output_group="i", properties={"steps": "3"}, weights=shipped_weights("tiny")))
    with ismrmrd.Dataset(str(output), "i", create_if_needed=False) as file:
        for series, role in ((1, "main"), (2, "conventional")):
            for place, one in enumerate(found.of(role)):
                expected = file.read_image(f"image_{series}", place)
                np.testing.assert_array_equal(one.pixels, expected.data[0])
                assert one.header.image_index == expected.image_index
                assert dict(one.metadata) == dict(ismrmrd.Meta.deserialize(expected.attribute_string))


def test_what_a_scan_gives(raw):
    found = nilatron.replay(str(raw), **WORDS)
    assert found.complete
    assert len(found) == found.n_expected == 4
    assert found.pixels().shape == found.pixels("conventional").shape == (2, 1, 24, 32)
    assert [one.header.slice for one in found.of("main")] == [0, 1]
    assert found[0] is found.images[0]
    assert list(found[1:]) == list(found.images[1:])


def test_properties_and_chains(raw):
    found = nilatron.replay(raw, "cg_sense", pixel_type="complex64")
    assert {one.role for one in found} == {"main"}
    assert found[0].pixels.dtype == np.complex64
    assert found[0].metadata["nilatron_target"] == "cg_sense"


def test_doubtful_scans_are_not_complete(tmp_path):
    path = tmp_path / "none.h5"
    simulate(path, SimulationSettings(matrix=(32, 32, 1), n_coils=4, acceleration=4, calibration="none"))
    found = nilatron.replay(path, "cg_sense")
    assert not found.complete
    assert "no calibration" in found.problems[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"chain": "nil"}, "unknown chain 'nil'"),
        ({"stepz": 1}, "has no property 'stepz'"),
        ({"group": "other"}, "group 'other'"),
        ({"noise": "none.h5"}, "none.h5"),
    ],
)
def test_what_cannot_be_done_is_said(raw, words, said):
    with pytest.raises(nilatron.BadInputError, match=said):
        nilatron.replay(raw, **words)


def test_a_scan_without_images(tmp_path):
    path = tmp_path / "noise.h5"
    with ismrmrd.Dataset(str(path), "dataset") as file:
        header, lines = _noise_alone()
        file.write_xml_header(header)
        for line in lines:
            file.append_acquisition(line)
    with pytest.raises(nilatron.BadInputError, match="expected imaging lines"):
        nilatron.replay(path, "cg_sense")
    with pytest.raises(nilatron.BadInputError, match="expected imaging lines"):
        nilatron.read_raw(path)


def _noise_alone():
    from nilatron.pipelines.simulation.simulate import simulate_items

    header, items = simulate_items(SCAN)
    noise = [item for item in items if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    return ismrmrd.xsd.ToXML(header), noise


def test_roles_that_are_not_there(raw):
    with pytest.raises(ValueError, match="expected images of role 'uncertainty', there are conventional, main"):
        nilatron.replay(raw, **WORDS).pixels("uncertainty")
