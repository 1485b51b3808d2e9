import pytest

from nilatron.core.words import counted


@pytest.mark.parametrize(("number", "expected"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_one_is_not_many(number, expected):
    assert counted(number, "image") == expected
