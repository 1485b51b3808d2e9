"""Attributes of images that came over the wire."""

import copy

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.wire import Decoder, encode


def received(attributes: bytes):
    image = ismrmrd.Image.from_array(np.ones((2, 3), np.float32))
    stream = b"".join(bytes(part) for part in encode(image))
    start = 2 + 198
    stream = stream[:start] + len(attributes).to_bytes(8, "little") + attributes + stream[start + 8 :]
    return next(Decoder().feed(stream)), stream


PRETTY = b"<ismrmrdMeta>\n <meta> <name>a</name> <value>1</value><value>2</value></meta>\n</ismrmrdMeta>\n\0"


def test_attributes_that_nobody_changed_go_out_as_they_came():
    image, stream = received(PRETTY)
    assert image.meta == {"a": ["1", "2"]}
    assert b"".join(encode(image)) == stream


def test_changed_attributes_go_out_changed():
    image, _ = received(PRETTY)
    image.meta["b"] = "3"
    (again,) = Decoder().feed(b"".join(encode(image)))
    assert again.meta == {"a": ["1", "2"], "b": "3"}
    assert again.getHead().attribute_string_len == len(again.attribute_string)
    again.meta = {"c": "4"}
    assert next(Decoder().feed(b"".join(encode(again)))).meta == {"c": "4"}
    again.attribute_string = "<ismrmrdMeta/>"
    assert again.meta == {}


@pytest.mark.parametrize(
    "attributes",
    [
        b"no XML",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><ismrmrdMeta><meta><name>a</name><value>&e;</value></meta></ismrmrdMeta>',
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><ismrmrdMeta>&b;</ismrmrdMeta>',
        b"\xff\xfe<",
    ],
)
def test_attributes_that_cannot_be_read_are_left_out_but_passed_on(attributes, caplog):
    image, stream = received(attributes)
    assert image.meta == {}
    assert "cannot be read" in caplog.text
    assert b"".join(encode(image)) == stream


def test_an_image_can_be_copied():
    image, stream = received(PRETTY)
    assert b"".join(encode(copy.deepcopy(image))) == stream
    copied = ismrmrd.Image(image.getHead(), data=image.data, meta=image.meta)
    assert copied.meta == image.meta
    assert (copied.data == image.data).all()
    assert repr(image) == repr(copied)
