from dataclasses import replace
from pathlib import Path

import pytest

from nilatron.pipelines.batch.inputs import find_jobs, output_names
from nilatron.pipelines.batch.settings import BatchSettings
from nilatron.pipelines.chain.find import ChainError
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.replay.settings import ReplaySettings

BASE = ReplaySettings(Path(), None, "zero_filled", seed=3)


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Jobs of inputs in a folder with a few files, which need not be raw data to be found."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/one.h5", "a/two.mrd", "a/notes.txt", "a/.hidden.h5", "b/one.h5", "out/images/one.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def find(*inputs, base=BASE):
        return find_jobs(BatchSettings(inputs, Path("out").absolute(), base))

    return find


def raws(found):
    return [str(job.settings.raw.relative_to(Path.cwd())) for job in found]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a/one.h5",), ["a/one.h5"]),
        (("a",), ["a/one.h5", "a/two.mrd"]),
        ((".",), ["a/one.h5", "a/two.mrd", "b/one.h5"]),
        (("*/one.h5",), ["a/one.h5", "b/one.h5"]),
        (("**/*.mrd",), ["a/two.mrd"]),
        (("b", "a/one.h5", "b/one.h5"), ["b/one.h5", "a/one.h5"]),
    ],
)
def test_files_folders_and_patterns(jobs, inputs, expected):
    assert raws(jobs(*inputs)) == expected


def test_outputs_have_names_of_their_own(jobs):
    assert [job.output.name for job in jobs("a", "b")] == ["a_one.h5", "two.h5", "b_one.h5"]
    assert {job.output.parent for job in jobs("a")} == {Path("out/images").absolute()}


def test_names_are_unique_whatever_the_paths():
    paths = [Path(name) for name in ("/x/s.h5", "/x/s.mrd", "/y/s.h5", "/y/t.h5", "/z/y/s.h5")]
    names = output_names(paths)
    assert len(set(names)) == len(paths)
    assert names[3] == "t"


def test_a_table_has_settings_for_each_file(jobs, tmp_path):
    (tmp_path / "a/table.csv").write_text(
        "\ufefffile,config,seed,group,noise,weights,pixel_type\none.h5,cg_sense,7,other,two.mrd,tiny,uint16\n../b/one.h5,,,,,,\n"
    )
    first, second = (job.settings for job in jobs("a/table.csv"))
    assert (first.chain, first.seed, first.group, first.properties) == (
        "cg_sense",
        7,
        "other",
        {"pixel_type": "uint16"},
    )
    assert first.noise == Path("a/two.mrd")
    assert first.weights.name == "tiny.safetensors"
    assert (second.chain, second.seed, second.properties, second.noise) == ("zero_filled", 3, {}, None)


def test_the_same_file_with_two_settings_is_two_jobs(jobs, tmp_path):
    (tmp_path / "table.csv").write_text("file,seed\na/one.h5,1\na/one.h5,2\na/one.h5,2\n")
    found = jobs("table.csv")
    assert [job.settings.seed for job in found] == [1, 2]
    assert len({job.output for job in found}) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name\na/one.h5\n", "expected a column 'file'.*found 'name'"),
        ("", "found nothing"),
        ("file,seed\na/one.h5,x\n", "line 2.*'x'"),
        ("file,seed\n,1\n", "line 2: names no file"),
        ("file,seed\na/one.h5,1,2\n", "line 2: has more cells"),
        ("file,seed\na/one\0.h5,1\n", "line 2: has a character of no text"),
        ("file,weights\na/one.h5,none\n", "none: no such file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_line(jobs, tmp_path, text, told):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        jobs("table.csv")


@pytest.mark.parametrize(("inputs", "told"), [(("none.h5",), "no such file"), (("no*.h5",), "no raw file")])
def test_inputs_that_are_not_there_are_refused(jobs, inputs, told):
    with pytest.raises(InputError, match=told):
        jobs(*inputs)


def test_chains_and_properties_are_checked_before_a_file_is_read(jobs, tmp_path):
    with pytest.raises(ChainError, match="no property 'colour'"):
        jobs("a", base=replace(BASE, properties={"colour": "red"}))
    with pytest.raises(ChainError, match="unknown chain"):
        jobs("a", base=replace(BASE, chain="none"))
    (tmp_path / "table.csv").write_text("file,colour\na/one.h5,red\n")
    with pytest.raises(ChainError, match="no property 'colour'"):
        jobs("table.csv")
