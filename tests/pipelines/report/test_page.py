import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.report.page import MOST_SLICES, ScanFacts, evenly, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<script>alert('&')</script>"


class Elements(HTMLParser):
    """Elements with their attributes, and the text of the page."""

    def __init__(self, text):
        super().__init__()
        self.found, self.words = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words += data


def image(value, series, index=0, **facts):
    pixels = np.float32(value) * np.linspace(0, 1, 200, dtype=np.float32).reshape(1, 1, 10, 20)
    meta = {
        "SeriesDescription": ["Nilatron AI Nila", "research"],
        **{f"nilatron_{name}": text for name, text in facts.items()},
    }
    return pixels, series, index, meta


@pytest.fixture
def written(image_file, tmp_path):
    def write(*images, scan=None):
        write_page(tmp_path / "out.html", image_file(*images), "images", scan or ScanFacts("scan.h5"))
        return (tmp_path / "out.html").read_text()

    return write


def test_a_slice_has_its_five_pictures_a_bar_and_its_numbers(written):
    page = Elements(written(image(10, 2), image(9, 1, chi2="1.031", seed="7"), image(0.5, 101)))
    figures = [
        attributes["alt"] for tag, attributes in page.found if tag == "img" and attributes.get("class") == "image"
    ]
    assert [words.split(",")[0].split(":")[0] for words in figures] == [
        "Nilatron AI Nila",
        "Nilatron AI Nila",
        "Uncertainty",
        "Outlined",
        "Difference x 5",
    ]
    assert sum(attributes.get("alt") == "colour bar" for _, attributes in page.found) == 1
    assert "1.031" in page.words
    assert re.search(r"seed\s*7", page.words)


def test_estimates_from_samples_are_shown_too(written):
    page = Elements(written(image(9, 3), image(8, 5), image(0.5, 102, uncertainty_from="samples")))
    figures = [
        attributes["alt"] for tag, attributes in page.found if tag == "img" and attributes.get("class") == "image"
    ]
    assert len(figures) == 3
    assert figures[2].startswith("Uncertainty: posterior standard deviation")


def test_the_page_needs_nothing_else(written):
    page = written(image(10, 2), image(9, 1))
    links = [
        value for _, attributes in Elements(page).found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert len(links) >= 4
    assert all(link.startswith(("data:image/png;base64,", "#slice-")) for link in links)
    assert not re.search(r"url\(|@import|<script|<link", page)


def test_words_from_files_are_no_markup(written):
    scan = ScanFacts(EVIL, {"chain": EVIL}, [EVIL])
    page = written(image(9, 1, doubt=EVIL, fallback=EVIL), scan=scan)
    assert not [tag for tag, _ in Elements(page).found if tag == "script"]
    assert Elements(page).words.count(EVIL) >= 5


def test_warnings_stand_on_top(written):
    text = written(image(9, 1), scan=ScanFacts("scan.h5", {}, ["slice 3: fall-back"]))
    assert 0 < text.index("slice 3: fall-back") < text.index("Montage")
    assert "1 warning<" in text
    assert "No warnings" in written(image(9, 1))


def test_times_are_those_of_the_slice(written):
    scan = ScanFacts("scan.h5", seconds={(1, 1): 3.21, (1, 2): 6.54, (2, 1): 0.5})
    page = Elements(written(image(9, 1, 0), image(9, 1, 1), image(9, 2, 0), scan=scan))
    assert re.search(r"slice 0\s.*3\.2.*slice 1\s.*6\.5", page.words, re.DOTALL)


def test_long_scans_have_all_their_numbers_and_some_of_their_pictures(written):
    n = MOST_SLICES + 5
    page = Elements(written(*(image(9, 1, index) for index in range(n))))
    large = [attributes for tag, attributes in page.found if tag == "img" and attributes.get("class") == "image"]
    rows = sum(tag == "tr" for tag, _ in page.found) - 1
    assert (len(large), rows) == (MOST_SLICES, n)
    assert f"{MOST_SLICES} of {n} slices, evenly spread" in page.words
    targets = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in page.found if tag == "a"} <= targets


def test_volumes_show_their_middle_plane(written):
    pixels = np.zeros((1, 5, 8, 8), np.float32)
    assert "plane 2 of 5" in written((pixels, 1, 0, {}))


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@pytest.mark.parametrize("width", [500, 1400])  # chromium's windows are no narrower than 500 pixels
def test_a_browser_shows_the_page_without_scrolling_sideways(written, tmp_path, width):
    scan = ScanFacts("scan" * 60 + ".h5", {"image file": "/data" * 60, "chain": "nila"}, ["/no/space/in/this" * 30])
    page = written(image(9, 1, doubt="x" * 300, weights_sha256="0" * 64), image(9, 2), image(0.5, 101), scan=scan)
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    (tmp_path / "measured.html").write_text(page.replace("</body>", script))
    words = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, *words.split(), "--disable-component-update", "--disable-sync", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},2000"]
    done = subprocess.run(  # noqa: S603
        [*command, (tmp_path / "measured.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found, inner = map(int, re.search(r"<title>(\d+) of (\d+)</title>", done.stdout).groups())
    assert found <= inner
    assert abs(inner - width) < 30


def test_evenly_spread():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(101, 5) == [0, 25, 50, 75, 100]


def test_a_full_disk_leaves_no_page(image_file, tmp_path, small_disk):
    path = image_file(image(9, 1))
    with small_disk(100), pytest.raises(OutputError, match=r"out\.html: File too large; nothing was written"):
        write_page(tmp_path / "out.html", path, "images", ScanFacts("scan.h5"))
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_turns_or_hides_what_stands_beside_it(written):
    hostile = "a\u202eb\x1b[31m\u2066"
    page = written(image(1, 1, doubt=hostile), scan=ScanFacts(hostile, {"raw file": hostile}, [hostile]))
    assert not {"\u202e", "\x1b", "\u2066"} & set(page)
    assert page.count(r"a\u202eb\x1b[31m\u2066") >= 4
