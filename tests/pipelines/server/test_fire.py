import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.server.fire import fire_parameters, with_int16_pixels


def test_parameters_become_texts():
    text = b'{"version": "1", "parameters": {"config": "nila", "steps": 4, "tolerance": 0.01, "on": true}}'
    assert fire_parameters(text) == {"config": "nila", "steps": "4", "tolerance": "0.01", "on": "true"}
    assert fire_parameters(b"{}") == {}


def test_what_is_no_property_is_left_out_and_told(caplog):
    text = b'{"parameters": {"steps": 4, "nested": {"b": 1}, "list": [1], "none": null}}'
    assert fire_parameters(text) == {"steps": "4"}
    assert [record.args for record in caplog.records] == [("nested",), ("list",), ("none",)]


@pytest.mark.parametrize(
    "text",
    [b"{", b"[1]", b'{"parameters": [1]}', b'{"a":' * 5000, b"\xff{}",
     b'{"parameters": {' + b",".join(b'"p%d": 1' % n for n in range(65)) + b"}}"],
)  # fmt: skip
def test_other_json_is_refused(text):
    with pytest.raises(SettingsError):
        fire_parameters(text)


def test_pixels_become_int16_and_what_is_clipped_is_told():
    image = ismrmrd.Image.from_array(np.array([[[[0, 1.6, 40000]]]], np.float32), transpose=False)
    image.image_series_index, image.image_index = 2, 3
    image.attribute_string = ismrmrd.Meta({"a": "b"}).serialize()
    context = Context(None)
    (converted,) = with_int16_pixels([image], context)
    assert converted.data.dtype == np.int16
    assert converted.data.ravel().tolist() == [0, 2, 32767]
    assert (converted.image_series_index, converted.image_index, converted.meta["a"]) == (2, 3, "b")
    assert "too large for int16" in context.log.problems[0]
