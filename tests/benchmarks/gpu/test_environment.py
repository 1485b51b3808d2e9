"""What is said of the machine."""

import importlib.metadata

from gpu import environment
from gpu.environment import measure, version_of


def test_packages_and_what_is_absent(found, small, monkeypatch):
    monkeypatch.setitem(environment.PACKAGES, "CuPy", (("a-package-that-is-not-there",), "torch does it"))
    measure(found, "cpu", small)
    told = {row["what"]: row["found"] for row in found.tables["Environment"]}
    assert told["NumPy"] == f"numpy {importlib.metadata.version('numpy')}"
    assert told["CuPy"] == "not installed"
    assert found.absent["CuPy"] == "not installed: torch does it"
    assert "pytest" not in found.absent
    assert told["problem"] == "64x64, 4 coils, prior tiny"


def test_the_first_distribution_that_is_there():
    assert version_of(("a-package-that-is-not-there", "pytest")).startswith("pytest ")
    assert version_of(("a-package-that-is-not-there",)) == ""
