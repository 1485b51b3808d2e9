import h5py
import pytest

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate


@pytest.fixture
def raw(tmp_path):
    simulate(tmp_path / "raw.h5", SimulationSettings(matrix=(24, 20, 1), n_coils=3, noise_lines=4))
    return tmp_path / "raw.h5"


def keep(raw, chosen):
    with h5py.File(raw, "r+") as file:
        rows = file["dataset/data"][()]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=rows[chosen])


def test_a_sound_file_is_described(command, raw):
    code, out, err = command("check", str(raw))
    assert (code, err) == (0, "")
    assert "contradicts itself: nothing" in out
    assert "1 image of 20 lines" in out


def test_contradictions_are_exit_code_3(command, raw):
    keep(raw, slice(0, -6))
    code, out, err = command("check", str(raw))
    assert code == 3
    assert "encodingLimits announce lines up to 19" in out
    assert "contradictions" in err


def test_nothing_to_reconstruct_is_exit_code_2(command, raw):
    keep(raw, slice(0, 4))
    code, _, err = command("check", str(raw))
    assert code == 2
    assert "no line of an image" in err
