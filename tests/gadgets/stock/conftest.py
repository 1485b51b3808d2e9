"""The echo-planar scans of the tests of our own gadgets."""

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("epi_scans", Path(__file__).parents[1] / "epi" / "conftest.py")
_SCANS = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _SCANS
_SPEC.loader.exec_module(_SCANS)
epi_scan, describe = _SCANS.epi_scan, _SCANS.describe
