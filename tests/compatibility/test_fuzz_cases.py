"""The targets of the fuzzer, without it: with their seeds, and with what it has found."""

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
CASES = sorted(path for path in (Path(__file__).parent / "cases").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def fuzz():
    """Targets and seeds."""
    sys.path.insert(0, str(FUZZ))
    try:
        import seeds
        import targets
    finally:
        sys.path.remove(str(FUZZ))
    return targets.TARGETS, seeds.seeds()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_fixed(fuzz, path):
    targets, _ = fuzz
    targets[path.parent.name](path.read_bytes())


@pytest.mark.slow
def test_every_target_has_seeds_that_it_takes(fuzz):
    targets, seeds = fuzz
    assert targets.keys() == seeds.keys()
    for name, inputs in seeds.items():
        assert inputs
        for data in inputs:
            targets[name](data)
