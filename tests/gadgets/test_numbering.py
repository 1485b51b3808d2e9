from itertools import product
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

from nilatron.gadgets.numbering import COUNTERS, Numbering, place_of

SIZES = {"slice": 5, "contrast": 2, "phase": 1, "set": 2, "repetition": 3}


def header(sizes):
    limits = xsd.encodingLimitsType(
        **{name: xsd.limitType(minimum=0, maximum=n - 1, center=0) for name, n in sizes.items()}
    )
    return SimpleNamespace(encoding=[SimpleNamespace(encodingLimits=limits)])


def head(**counters):
    made = ismrmrd.AcquisitionHeader()
    for name, value in counters.items():
        setattr(made.idx, name, value)
    return made


def all_heads():
    """In the order that numbers are to have: slices fastest, repetitions slowest."""
    for values in product(*(range(SIZES[name]) for name in reversed(COUNTERS))):
        yield head(**dict(zip(reversed(COUNTERS), values, strict=True)))


@pytest.mark.parametrize("seed", range(3))
def test_numbers_follow_the_slices_whatever_the_order_of_arrival(seed):
    heads, numbering = list(all_heads()), Numbering()
    arrival = np.random.default_rng(seed).permutation(len(heads))
    found = {int(i): numbering.number(1, heads[i], header(SIZES)) for i in arrival}
    assert [found[i] for i in range(len(heads))] == list(range(1, len(heads) + 1))


def test_each_series_has_all_numbers():
    numbering = Numbering()
    assert [numbering.number(series, head(slice=2), header(SIZES)) for series in (1, 2, 101)] == [3, 3, 3]


def test_no_number_is_given_twice_where_the_header_announces_less_than_comes():
    numbering, wrong = Numbering(), header({"slice": 1})
    heads = [head(slice=s, repetition=r) for r in range(4) for s in range(3)]
    numbers = [numbering.number(1, each, wrong) for each in heads]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) == 1


def test_other_encodings_come_behind_all_images_of_the_first():
    last = head(slice=4, contrast=1, set=1, repetition=2)
    second = head()
    second.encoding_space_ref = 1
    assert place_of(second, header(SIZES)) == place_of(last, header(SIZES)) + 1
