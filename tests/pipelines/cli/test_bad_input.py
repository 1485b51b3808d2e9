"""Every bad input has its one clear line, exit code 2 and nothing half-written."""

import re

import h5py
import numpy as np
import pytest


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
    "unknown encoding space": (lambda path: edit_line(path, set_slice_encoding), "encoding space 3.* describes 1"),
    "more samples than the matrix": (
        lambda path: edit_line(path, set_long),
        "60 samples, more than the encoded matrix of 48|does not fit into a readout of 24",
    ),
}


OF_LINES = ("line outside the limits", "unknown encoding space", "more samples than the matrix")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "chain"),
    [*((fault, "cg_sense") for fault in BAD_FILES), *((fault, "nila_after_gadgetron") for fault in OF_LINES)],
)
def test_bad_file(command, raw, folder, fault, chain, one_line):
    change, message = BAD_FILES[fault]
    change(raw)
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", chain, "--png", folder / "png")
    assert code == 2
    assert out == ""
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["cg_sense", "nila_after_gadgetron"])
def test_a_line_that_is_not_finite_costs_itself_and_is_told(command, raw, folder, chain, one_line):
    edit_line(raw, set_nan)
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", chain)
    assert code == 3
    assert "not finite: left out" in one_line(err)
    assert re.search("images? to", out + err)
    assert [path.name for path in folder.iterdir()] == ["out.h5"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["line outside the limits", "radial"])
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
def test_bad_chain(command, raw, folder, tmp_path, fault, one_line):
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
    "group name": (("-G", "a/b"), "one name without '/'"),
    "noise file": (("--noise", "absent.h5"), "absent.h5: no such file"),
    "weights": (("--weights", "absent.safetensors"), "no weights file at absent.safetensors"),
}


@pytest.mark.parametrize("fault", BAD_WORDS)
def test_bad_words(command, raw, folder, fault, one_line):
    words, message = BAD_WORDS[fault]
    code, _, err = command("replay", raw, "-o", folder / "out.h5", *words)
    assert code == 2
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


def test_weights_that_are_none(command, raw, folder, tmp_path, one_line):
    (tmp_path / "prior.safetensors").write_text("weights")
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "--weights", tmp_path / "prior.safetensors")
    assert code == 2
    assert "not a readable safetensors file" in one_line(err)
    assert list(folder.iterdir()) == []


def test_the_raw_file_is_never_the_output(command, raw, one_line):
    before = raw.read_bytes()
    code, _, err = command("replay", raw, "-o", raw, "-G", "dataset", "--overwrite", "-c", "zero_filled")
    assert code == 2
    assert "is the raw file" in one_line(err)
    assert raw.read_bytes() == before


@pytest.mark.parametrize("target", ["results/none/out.h5", "results"])
def test_output_that_cannot_be_a_file(command, raw, folder, tmp_path, target, one_line):
    code, _, err = command("replay", raw, "-o", tmp_path / target, "-c", "zero_filled")
    assert code == 2
    assert re.search("does not exist|is not a file", one_line(err))
    assert list(folder.iterdir()) == []


def test_pictures_need_a_folder(command, raw, folder, tmp_path, one_line):
    (tmp_path / "png").write_text("a file")
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "--png", tmp_path / "png", "-c", "zero_filled")
    assert code == 2
    assert "is not a folder" in one_line(err)
    assert list(folder.iterdir()) == []
