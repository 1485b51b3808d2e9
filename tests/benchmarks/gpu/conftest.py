import pytest

from gpu.findings import Findings
from gpu.size import Size


@pytest.fixture(scope="session")
def small():
    """As small as all stages allow."""
    return Size(64, 4, "tiny", 2, (1, 2), rounds=3, row_s=0.0, judged=False)


@pytest.fixture
def found(tmp_path):
    return Findings(tmp_path / "found.json")
