import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from nilatron.pipelines.batch.page import MOST_PICTURES, outliers, page, picture, write_page
from nilatron.pipelines.batch.rows import Row, facts_of
from nilatron.pipelines.batch.settings import GROUP
from nilatron.pipelines.files.images import ImageFile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<script>alert('&')</script>"


@pytest.fixture
def cohort():
    """Rows of files that are alike but for their noise."""
    rng = np.random.default_rng(0)
    return [
        Row(f"{k:03}.h5", f"{k:03}.out.h5", slices=2, chi2=value, chi2_worst=value, sigma=1.0, acceleration=4.0)
        for k, value in enumerate(1 + 0.02 * rng.standard_normal(100))
    ]


@pytest.fixture
def image_file(tmp_path):
    """Writes an image of each value; returns the file."""
    import ismrmrd

    def write(*values, **facts):
        path = tmp_path / "out.h5"
        with ImageFile(path, GROUP, overwrite=True) as file:
            for number, value in enumerate(values):
                pixels = np.float32(value) * np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
                made = ismrmrd.Image.from_array(pixels, transpose=False)
                made.image_series_index, made.slice, made.image_index = 1, number, number + 1
                made.meta = {f"nilatron_{name}": texts[number] for name, texts in facts.items() if texts[number]}
                file.write(made)
        return path

    return write


def test_files_that_are_alike_have_no_outliers(cohort):
    assert outliers(cohort) == []
    assert outliers([replace(row, chi2_worst=1.0) for row in cohort]) == []


def test_the_farthest_file_is_the_first_outlier(cohort):
    cohort[7], cohort[50] = replace(cohort[7], chi2_worst=1.4), replace(cohort[50], sigma=30.0)
    found = outliers(cohort)
    assert [one.row.file for one in found] == ["050.h5", "007.h5"]
    assert "chi2 worst 1.4" in found[1].why.replace("_", " ")


def test_a_file_that_needs_a_look_is_one_and_a_file_without_images_is_none(cohort):
    cohort[3] = replace(cohort[3], exit=3, warnings="doubtful")
    cohort[4] = Row("004.h5", exit=2, reason="truncated")
    assert [(one.row.file, one.why) for one in outliers(cohort)] == [("003.h5", "doubtful")]


def test_of_few_files_none_is_called_an_outlier(cohort):
    assert outliers([replace(cohort[0], chi2_worst=9.0), *cohort[1:5]]) == []


def test_facts_are_read_from_the_images(image_file):
    path = image_file(
        1,
        2,
        3,
        chi2=["1.0", "0.9", "1.3"],
        sigma_used=["1", "1", "1"],
        acceleration=["4", "4", "4"],
        fallback=["", "why", ""],
    )
    assert facts_of(path) == {
        "slices": 3,
        "chi2": 1.0,
        "chi2_worst": 1.3,
        "sigma": 1.0,
        "acceleration": 4.0,
        "fall_backs": 1,
    }


def test_numbers_that_are_not_there_are_none(image_file):
    facts = facts_of(image_file(1))
    assert (facts["slices"], facts["chi2"], facts["chi2_worst"], facts["sigma"]) == (1, None, None, None)


def test_the_page_holds_everything_and_asks_no_network(cohort, image_file, tmp_path):
    cohort[5] = replace(cohort[5], file=EVIL, output=str(image_file(1)), exit=3, reason=EVIL)
    write_page(tmp_path / "report.html", cohort, "cohort", 12.0)
    text = (tmp_path / "report.html").read_text()
    assert "99 of 100 files are complete" in text
    assert text.count("<tr") == 101
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert" in text
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|https?:""", text)


def test_at_most_so_many_pictures(cohort, image_file):
    path = str(image_file(1))
    text = page([replace(row, exit=3, output=path) for row in cohort], "cohort", 0.0)
    assert text.count("data:image/png") == MOST_PICTURES
    assert f"The farthest {MOST_PICTURES} of 100" in text


def test_a_file_that_is_gone_has_no_picture(tmp_path):
    assert picture(tmp_path / "none.h5") == ""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_click_on_a_heading_sorts(cohort, tmp_path):
    text = page(cohort[:12], "cohort", 0.0)
    text = text.replace("</body>", "<script>document.querySelectorAll('th button')[3].click()</script></body>")
    (tmp_path / "report.html").write_text(text)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--dump-dom"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    done = subprocess.run(  # noqa: S603 - the program is the system's
        [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    body = done.stdout.partition("<tbody>")[2].partition("</tbody>")[0]
    order = re.findall(r"<tr><td>(\d+)\.h5", body)
    assert order == [row.file[:3] for row in sorted(cohort[:12], key=lambda row: row.chi2_worst)]
