"""The command line: what works, and every bad input with its one clear line, exit code 2 and nothing half-written."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron import __version__
from nilatron.gadgets import methods
from nilatron.pipelines import cli
from nilatron.pipelines.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=2, noise_lines=4, n_slices=2)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the program as from a shell; exit code, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["nilatron", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def scan_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    simulate(path, SCAN)
    return path


@pytest.fixture
def raw(scan_path, tmp_path):
    path = tmp_path / "raw.h5"
    path.write_bytes(scan_path.read_bytes())
    return path


@pytest.fixture
def folder(tmp_path):
    """Where the output goes; nothing else is there."""
    path = tmp_path / "results"
    path.mkdir()
    return path


def edit_header(path, pattern, text):
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0]
        changed = re.sub(pattern, text, xml, flags=re.S)
        assert changed != xml
        file["dataset/xml"][0] = changed


def edit_line(path, change, number=-1):
    with h5py.File(path, "r+") as file:
        rows = file["dataset/data"][:]
        change(rows[number])
        file["dataset/data"][:] = rows


def set_nan(row):
    row["data"][3] = np.nan


def set_step(row):
    row["head"]["idx"]["kspace_encode_step_1"] = 77


def set_slice_encoding(row):
    row["head"]["encoding_space_ref"] = 3


def set_long(row):
    row["head"]["number_of_samples"] = 60
    row["data"] = np.zeros(2 * 2 * 60, np.float32)


BAD_FILES = {
    "not HDF5": (lambda path: path.write_bytes(b"PK\3\4 whatever" * 300), "is not an HDF5 file"),
    "missing": (lambda path: path.unlink(), "no such file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "truncated|damaged"),
    "header is not XML": (lambda path: edit_header(path, b".*", b"TR = 500"), "header is not XML .*begins with"),
    "no encoding": (lambda path: edit_header(path, b"<encoding>.*</encoding>", b""), "no <encoding>"),
    "radial": (lambda path: edit_header(path, b">cartesian<", b">radial<"), "radial trajectory; only Cartesian"),
    "line outside the limits": (
        lambda path: edit_line(path, set_step),
        "line 43 has kspace_encode_step_1 (= )?77.*limits.* 0 to 19",
    ),
    "NaN": (lambda path: edit_line(path, set_nan), "line 43 has 1 values that are not finite"),
    "unknown encoding space": (lambda path: edit_line(path, set_slice_encoding), "encoding space 3.* describes 1"),
    "more samples than the matrix": (
        lambda path: edit_line(path, set_long),
        "60 samples, more than the encoded matrix of 48|does not fit into a readout of 24",
    ),
}


def one_line(err):
    """The one line of the error, without the warnings that may stand before it."""
    lines = [line for line in err.splitlines() if line.startswith("nilatron: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert lines[0] == err.splitlines()[-1]
    return lines[0]


@pytest.mark.parametrize("chain", ["cg_sense", "nila_after_gadgetron"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(command, raw, folder, fault, chain):
    change, message = BAD_FILES[fault]
    change(raw)
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", chain, "--png", folder / "png")
    assert code == 2
    assert out == ""
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("fault", ["NaN", "line outside the limits", "radial"])
def test_bad_file_leaves_older_images_untouched(command, raw, folder, fault):
    output = folder / "out.h5"
    words = ("-o", output, "-G", "images", "-c", "zero_filled", "--overwrite")
    assert command("replay", raw, *words)[0] == 0
    before = output.read_bytes()
    BAD_FILES[fault][0](raw)
    assert command("replay", raw, *words)[0] == 2
    assert output.read_bytes() == before
    assert list(folder.iterdir()) == [output]


BAD_CHAIN = """<configuration><version>2</version>
<readers><reader><dll>gadgetron_core_readers</dll><classname>AcquisitionReader</classname></reader></readers>
<writers><writer><dll>gadgetron_core_writers</dll><classname>ImageWriter</classname></writer></writers>
<stream>{}</stream></configuration>"""
NODE = """<external><execute name="nilatron.pipelines.node" target="{target}" type="python"/>
<configuration><property name="{name}" value="{value}"/></configuration></external>"""
CHAINS = {
    "unknown gadget": ("<gadget><dll>x</dll><classname>GrappaGadget</classname></gadget>", "GrappaGadget"),
    "unknown target": (NODE.format(target="magic", name="seed", value="1"), "magic.*zero_filled"),
    "unknown property": (NODE.format(target="nila", name="stpes", value="6"), "stpes.*steps"),
    "bad value": (NODE.format(target="nila", name="steps", value="many"), "steps.*many.*whole number"),
    "foreign program": (NODE.format(target="nila", name="a", value="b").replace("nilatron.pipelines.node", "os"), "os"),
    "not XML": ("<gadget>", "XML"),
}


@pytest.mark.parametrize("fault", CHAINS)
def test_bad_chain(command, raw, folder, tmp_path, fault):
    content, message = CHAINS[fault]
    chain = tmp_path / "chain.xml"
    chain.write_text(BAD_CHAIN.format(content))
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", chain)
    assert code == 2
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


BAD_WORDS = {
    "unknown chain": (("-c", "grappa"), "unknown chain 'grappa'.*names: cg_sense, .*zero_filled"),
    "unknown group": (("-g", "scan"), "no group 'scan'.*groups that exist: dataset"),
    "unknown property": (("--set", "stpes=6"), "no property 'stpes'; it has: .*steps"),
    "bad value": (("--set", "steps=0"), "steps"),
    "no value": (("--set", "steps"), "NAME=VALUE, got 'steps'"),
    "series": (("--set", "series=nila,phase"), "series must be some of"),
    "device": (("--device", "tpu"), "device must be auto, cpu or cuda, got 'tpu'"),
    "group name": (("-G", "a/b"), "one name without '/'"),
    "noise file": (("--noise", "absent.h5"), "absent.h5: no such file"),
    "weights": (("--weights", "absent.safetensors"), "no weights file at absent.safetensors"),
}


@pytest.mark.parametrize("fault", BAD_WORDS)
def test_bad_words(command, raw, folder, fault):
    words, message = BAD_WORDS[fault]
    code, _, err = command("replay", raw, "-o", folder / "out.h5", *words)
    assert code == 2
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


def test_weights_that_are_none(command, raw, folder, tmp_path):
    (tmp_path / "prior.safetensors").write_text("weights")
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "--weights", tmp_path / "prior.safetensors")
    assert code == 2
    assert "not a readable safetensors file" in one_line(err)
    assert list(folder.iterdir()) == []


def test_existing_group_needs_overwrite(command, raw, folder):
    words = ("replay", raw, "-o", folder / "out.h5", "-G", "images", "-c", "zero_filled")
    assert command(*words)[0] == 0
    before = (folder / "out.h5").read_bytes()
    code, _, err = command(*words)
    assert code == 2
    assert re.search("group 'images' exists.*-G.*--overwrite", one_line(err))
    assert (folder / "out.h5").read_bytes() == before
    assert command(*words, "--overwrite")[0] == 0


def test_the_raw_file_is_never_the_output(command, raw):
    before = raw.read_bytes()
    code, _, err = command("replay", raw, "-o", raw, "-G", "dataset", "--overwrite", "-c", "zero_filled")
    assert code == 2
    assert "holds raw data" in one_line(err)
    assert raw.read_bytes() == before


@pytest.mark.parametrize("target", ["results/none/out.h5", "results"])
def test_output_that_cannot_be_a_file(command, raw, folder, tmp_path, target):
    code, _, err = command("replay", raw, "-o", tmp_path / target, "-c", "zero_filled")
    assert code == 2
    assert re.search("does not exist|is not a file", one_line(err))
    assert list(folder.iterdir()) == []


def test_pictures_need_a_folder(command, raw, folder, tmp_path):
    (tmp_path / "png").write_text("a file")
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "--png", tmp_path / "png", "-c", "zero_filled")
    assert code == 2
    assert "is not a folder" in one_line(err)
    assert list(folder.iterdir()) == []


def test_replay_says_what_it_wrote(command, raw, folder):
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", "cg_sense.xml", "--png", folder / "png")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"2 images to {re.escape(str(folder / 'out.h5'))} in [\d.]+ s\n", out)
    assert sorted(path.name for path in (folder / "png").iterdir()) == ["series001_0001.png", "series001_0002.png"]
    with h5py.File(folder / "out.h5") as file:
        (group,) = file
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", group)


def fail_on_second_slice():
    calls = []

    def run(problem, settings):
        calls.append(settings)
        if len(calls) == 2:
            raise RuntimeError("the network exploded")
        return methods.Outcome({"nila": problem.conventional})

    return run


def test_fall_back_is_exit_code_3_and_keeps_all_images(command, raw, folder, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "nila", replace(methods.METHODS["nila"], run=fail_on_second_slice()))
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-G", "images")
    assert code == 3
    assert out.startswith("3 images")
    assert "the network exploded" in err
    assert "not complete" in err.splitlines()[-1]
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        assert (file.number_of_images("image_1"), file.number_of_images("image_2")) == (1, 2)


def test_a_scan_without_imaging_lines(command, tmp_path, folder):
    raw = tmp_path / "raw.h5"
    simulate(raw, replace(SCAN, n_slices=1))
    with h5py.File(raw, "r+") as file:
        file["dataset/data"].resize(4, axis=0)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 2
    assert re.search("expected imaging lines, found .*4 noise lines", one_line(err))
    assert list(folder.iterdir()) == []


def test_noise_from_another_file(command, raw, folder, tmp_path):
    simulate(tmp_path / "noise.h5", replace(SCAN, seed=3, n_slices=1))
    simulate(raw, replace(SCAN, noise_lines=0), overwrite=True)
    words = ("-o", folder / "out.h5", "-G", "images", "-c", "zero_filled", "--noise", tmp_path / "noise.h5")
    assert command("replay", raw, *words)[0] == 0
    with h5py.File(folder / "out.h5") as file:
        meta = ismrmrd.Meta.deserialize(file["images/image_1/attributes"][0].decode())
    assert meta["nilatron_noise_source"] == "noise scan"


def test_simulate_writes_a_scan_that_replays(command, folder):
    words = ("simulate", folder / "raw.h5", "--matrix", "24,20", "--coils", "2", "--acceleration", "1")
    code, out, _ = command(*words)
    assert code == 0
    assert out.startswith("36 lines to ")
    code, _, err = command(*words)
    assert code == 2
    assert "--overwrite" in one_line(err)
    assert command(*words, "--overwrite")[0] == 0
    assert command("replay", folder / "raw.h5", "-o", folder / "out.h5", "-c", "cg_sense")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--matrix", "24"), "--matrix expects two or three positive numbers"),
        (("--matrix", "24,0"), "--matrix expects"),
        (("--calibration", "some"), "calibration must be one of none, embedded, separate"),
        (("--partial-fourier", "0.4"), "partial_fourier must be above 0.5"),
        (("--image", "absent.png"), "absent.png: is not an image"),
    ],
)
def test_simulations_that_cannot_be(command, folder, words, message):
    code, _, err = command("simulate", folder / "raw.h5", *words)
    assert code == 2
    assert message in one_line(err)
    assert list(folder.iterdir()) == []


def test_configs(command):
    code, out, _ = command("configs", "list")
    assert code == 0
    names = out.split()
    assert {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published", "nila_after_gadgetron"} <= set(names)
    code, out, _ = command("configs", "show", "nila")
    assert code == 0
    assert "<configuration>" in out
    code, out, _ = command("configs", "path", "nila")
    assert code == 0
    assert out.strip().endswith("nila.xml")
    code, _, err = command("configs", "show", "nil")
    assert code == 2
    assert "unknown chain 'nil'" in one_line(err)


def test_version_and_help(command):
    assert command("--version")[:2] == (0, f"{__version__}\n")
    code, out, _ = command("replay", "--help")
    assert code == 0
    for word in ("--overwrite", "--config", "--seed", "--set", "--png"):
        assert word in out
    assert command("replay")[0] == 2


def test_a_crash_is_exit_code_3(command, raw, folder, monkeypatch):
    def crash(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nilatron.pipelines.image_file.ImageFile.write", crash)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 3
    assert "No space left on device" in err.splitlines()[-1]
    assert list(folder.iterdir()) == []


def test_as_a_process_of_its_own(raw, folder):
    words = [sys.executable, "-m", "nilatron", "replay", raw, "-o", folder / "out.h5", "-c", "zero_filled"]
    sources = Path(cli.__file__).resolve().parents[1] / "src"
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 images to ")
    done = subprocess.run([*words, "-g", "none"], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 2
    assert "no group 'none'" in one_line(done.stderr)
