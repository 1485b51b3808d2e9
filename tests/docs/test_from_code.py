"""Pages made from the code: all of it is on them, and what nothing describes is an error."""

import dataclasses
import re
from pathlib import Path

import pytest

import nilatron
from from_code import PAGES, chains, fields, gallery, images, programs, write_pages
from nilatron.gadgets.doubt import DoubtSettings
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import build_node
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.chain.find import list_chains
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

DOCS = Path(__file__).resolve().parents[2] / "docs"


def names_in(text):
    """Everything that stands as code."""
    return {name for cell in re.findall(r"`([^`]+)`", text) for name in cell.split()}


@pytest.mark.parametrize("target", METHODS)
def test_every_property_of_a_target_is_on_the_page(target):
    with pytest.raises(SettingsError) as refused:  # which lists what there is
        build_node(target, {"nothing": "1"})
    listed = {name.strip() for name in str(refused.value).partition("it has: ")[2].split(",")}
    text = chains.properties()
    own = text.partition(f"### Of target `{target}`\n")[2].partition("\n### ")[0]
    shared = text.partition("\n### Of target")[0]
    assert listed - names_in(own + shared) == set()


def test_former_names_are_on_the_page():
    assert "`noise_left` (now `sigma_fraction`)" in chains.properties()


def test_every_chain_is_on_the_page():
    assert set(list_chains()) <= names_in(chains.chains())


def test_every_key_of_an_image_is_on_the_page(tmp_path):
    scan = tmp_path / "scan.h5"
    simulate(scan, SimulationSettings(matrix=(64, 64, 1), n_coils=4, acceleration=2, calibration_lines=16))
    made = nilatron.replay(
        scan, weights="tiny", series="conventional,nila,uncertainty", samples=2, sample_steps=2, scan_budget_s=100.0
    )
    keys = {key for image in made for key in image.metadata} | {
        "nilatron_doubt",
        "nilatron_fallback",
        "nilatron_shortened",
    }
    assert len(keys) > 40
    assert keys - names_in(images.metadata_keys()) == set()


def test_every_series_has_its_number_on_the_page():
    assert re.findall(r"^\| (\d+) \| `(\w+)`", images.series(), re.M) == [
        ("1", "main"),
        ("2", "conventional"),
        ("3", "mean"),
        ("4", "map"),
        ("5", "sample"),
        ("101", "uncertainty"),
        ("102", "std"),
    ]


def test_every_exit_code_is_on_the_page():
    assert set(programs.codes_in_sources().values()) == {0, 2, 3, 4, 5}
    assert re.findall(r"^\| (\d+) \|", programs.exit_codes(), re.M) == ["0", "2", "3", "4", "5", "130", "143", "129"]


def test_an_exit_code_without_a_description_is_an_error(monkeypatch):
    monkeypatch.delitem(programs.CODES, "STOPPED_EARLY")
    with pytest.raises(fields.DescriptionError, match="STOPPED_EARLY"):
        programs.exit_codes()


def test_a_key_without_a_description_and_one_that_is_gone_are_errors(monkeypatch):
    monkeypatch.setitem(images.KEYS, "nilatron_gone", "not there")
    with pytest.raises(fields.DescriptionError, match="nilatron_gone"):
        images.metadata_keys()
    monkeypatch.delitem(images.KEYS, "nilatron_gone")
    monkeypatch.delitem(images.KEYS, "nilatron_chi2")
    with pytest.raises(fields.DescriptionError, match="nilatron_chi2"):
        images.metadata_keys()


@dataclasses.dataclass(frozen=True)
class Described:
    """Settings.

    Attributes
    ----------
    first, second
        Of both.
    """

    first: int = 1
    second: tuple[str, ...] = ("a", "b")
    third: bool = True  # behind it
    # before it,
    # in two lines
    fourth: float | None = None


@dataclasses.dataclass(frozen=True)
class Undescribed(Described):
    """Settings."""

    fifth: int = 5


def test_fields_have_defaults_and_descriptions():
    assert fields.fields_of(Described) == [
        ("first", "1", "Of both."),
        ("second", "a,b", "Of both."),
        ("third", "true", "behind it"),
        ("fourth", "auto", "before it, in two lines"),
    ]


def test_a_field_without_a_description_is_an_error():
    with pytest.raises(fields.DescriptionError, match=r"Undescribed\.fifth"):
        fields.fields_of(Undescribed)


def test_comments_are_those_of_the_sources():
    assert fields.comments_of(DoubtSettings) == {
        "doubtful": "mark delivers a doubtful image, marked; refuse replaces it by the conventional one"
    }


def test_a_bar_in_a_cell_splits_no_row():
    assert fields.table(("a",), [("|x|",)]) == "| a |\n| --- |\n| \\|x\\| |\n"


def test_commands_have_their_options():
    text = programs.commands()
    assert {"`nilatron replay`", "`nilatron configs check`", "`nilatron prior info`"} <= set(
        re.findall(r"^## (.+)$", text, re.M)
    )
    assert "`--output`, `-o`" in text
    assert "One of `auto`, `cpu`, `cuda`." in text
    assert "completion" not in text


def test_every_text_is_included_in_a_page(tmp_path):
    write_pages(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(PAGES)
    included = {
        name for page in DOCS.glob("*.md") for name in re.findall(r"\{include\} generated/(\w+)\.md", page.read_text())
    }
    assert included == set(PAGES)
    assert all(len(path.read_text()) > 200 for path in tmp_path.iterdir())


def test_the_python_page_has_every_public_name():
    text = (DOCS / "api.md").read_text()
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)", text, re.M))
    assert named == set(nilatron.__all__) - {"__version__"}


def test_every_example_has_its_place():
    files = [path.name for path in (DOCS / "gallery").glob("*.py")]
    order = sorted(files, key=gallery.GalleryOrder(str(DOCS)))
    assert len(files) >= 6
    assert (order[0], order[-1]) == ("scan_in_ten_lines.py", "own_prior.py")
