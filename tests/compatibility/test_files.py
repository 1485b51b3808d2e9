"""Files that mean harm, and those that the fuzzer of files has found: refused in words, nothing else opened, memory bounded."""

import base64
import json
import sys
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "fuzz"))
try:
    from file_targets import TARGETS
    from files import verdict
    from good_jobs import GOOD
    from hostile import HOSTILE, SLOW
finally:
    sys.path.remove(str(ROOT / "fuzz"))

FOUND = json.loads((Path(__file__).parent / "found_files.json").read_text())
TAKEN = (
    "a_matrix_of_terabytes",  # what reconstructs refuses them
    "a_chain_of_references",
    "packed_waveforms_of_twelve_gigabytes",  # without its waveforms
)


def mark(name):
    return pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())


@pytest.mark.parametrize("name", [mark(name) for name in HOSTILE])
def test_files_that_mean_harm_are_refused(tmp_path, name):
    kind, make = HOSTILE[name]
    path = make(tmp_path)
    for place in range(len(TARGETS[kind])):
        assert verdict(kind, place, path, must_refuse=place == 0 and name not in TAKEN) == ""


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.slow
def test_good_files_are_taken(tmp_path, name):
    kind, make = GOOD[name]
    path = make(tmp_path)
    assert any(verdict(kind, place, path, must_refuse=True) == "is taken" for place in range(len(TARGETS[kind])))


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case["name"])
def test_what_was_found_stays_fixed(tmp_path, case):
    path = tmp_path / case["name"]
    path.write_bytes(zlib.decompress(base64.b85decode(case["content"])))
    for place in range(len(TARGETS[case["kind"]])):
        assert verdict(case["kind"], place, path) == ""
