"""The documentation builds without a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
NEEDED = ("sphinx", "myst_parser", "numpydoc", "pydata_sphinx_theme", "sphinx_gallery")


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    for package in NEEDED:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'nilatron[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "-b", "html", "-D", "sphinx_gallery_conf.plot_gallery=0", "-d"]
    done = subprocess.run(  # noqa: S603 - the program is ours
        [*command, str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "chains.html").is_file()
