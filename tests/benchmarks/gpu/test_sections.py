"""The sections that there are."""

import importlib
import inspect

import pytest

from gpu.sections import BY_NAME, SECTIONS


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_each_has_something_that_measures_it(section):
    measure = importlib.import_module(section.module).measure
    assert list(inspect.signature(measure).parameters) == ["found", "device", "size"]
    assert 0 < section.least_s < section.limit_s


def test_worth_comes_first():
    assert list(BY_NAME)[:3] == ["environment", "agreement", "speed"]
    assert list(BY_NAME)[-1] == "engines"
