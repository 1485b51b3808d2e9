import json

import pytest

from nilatron.pipelines.batch.rows import Row

ROW = Row("a.h5", "b.h5", slices=3, chi2=1.5, seconds=2.0, reason="é")


def test_a_row_is_itself_again():
    assert Row.from_json(ROW.as_json()) == ROW


def test_what_other_versions_have_written_is_left_out():
    assert Row.from_json(json.dumps({"file": "a.h5", "chi2": 1, "later": []})) == Row("a.h5", chi2=1)


@pytest.mark.parametrize(("name", "value"), [("slices", "3"), ("file", 3), ("chi2", [1.0]), ("seconds", None)])
def test_values_of_another_kind_are_no_row(name, value):
    with pytest.raises(TypeError, match=name):
        Row.from_json(json.dumps({"file": "a.h5"} | {name: value}))


def test_what_is_no_row_is_refused():
    for text in ("[", "3", "[1, 2]", "{}"):
        with pytest.raises((ValueError, TypeError)):
            Row.from_json(text)
