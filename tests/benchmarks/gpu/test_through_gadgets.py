"""The gadgets' images, and the ways in which a GPU is silently left."""

from types import SimpleNamespace

import pytest

from gpu.chain import FellBackError
from gpu.through_gadgets import check, gadget_chain


def image(device="cuda", notes=(), **provenance):
    return SimpleNamespace(
        role="main", source=SimpleNamespace(notes=notes), provenance={"device": device, **provenance}
    )


def test_a_slice(small):
    call = gadget_chain(small, "cpu", 0)
    assert [one.role for one in call()] == [one.role for one in call()] == ["conventional", "main"]


def test_what_was_made_as_asked_passes():
    check([image(notes=("no calibration lines",))], "cuda", 1)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([], "0 images came instead of 1"),
        ([image("cpu")], "on cpu"),
        ([image(fallback="nila failed")], "nila failed"),
        ([image(shortened="no posterior samples")], "no posterior samples"),
        ([image(notes=("prepared on the CPU, not on cuda: out of memory",))], "out of memory"),
    ],
)
def test_what_fell_back_does_not(images, told):
    with pytest.raises(FellBackError, match=told):
        check(images, "cuda", 1)
