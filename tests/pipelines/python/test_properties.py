import numpy as np
import pytest

from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.python.properties import texts_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (0.25, "0.25"),
        (True, "true"),
        (False, "false"),
        (None, "auto"),
        ("torch", "torch"),
        (("a", "b"), "a,b"),
    ],
)
def test_values_as_xml_has_them(value, text):
    assert texts_of({"name": value}) == {"name": text}


def test_numbers_of_numpy():
    assert texts_of({"steps": np.float64(0.5)}) == {"steps": "0.5"}


@pytest.mark.parametrize("value", [1j, (1, 2), {"a": 1}, object()])
def test_what_no_property_can_be(value):
    with pytest.raises(SettingsError, match="property 'steps' takes"):
        texts_of({"steps": value})
