import math

import pytest
import torch

from nilatron.core.prior.familiarity import (
    Familiarity,
    FamiliarityNetwork,
    parse_familiarity,
    picture_of,
)


def test_pictures_have_one_size_whatever_the_image():
    for shape in ((3, 100, 140), (3, 64, 64), (3, 40, 256)):
        assert picture_of(torch.rand(shape)).shape == (3, 2, 64, 64)


def test_detail_is_seen_though_the_picture_is_coarse():
    even = torch.full((1, 256, 256), 0.5)
    board = even + 0.2 * (-1.0) ** (torch.arange(256)[:, None] + torch.arange(256))
    plain, fine = picture_of(even)[0], picture_of(board)[0]
    torch.testing.assert_close(plain[0], fine[0], atol=0.01, rtol=0)
    assert float(plain[1].max()) < 1e-3
    assert float(fine[1].mean()) == pytest.approx(4 * 0.2, rel=0.1)


def test_a_hot_spot_counts_as_bright_not_as_all():
    image = torch.rand(1, 80, 80)
    hot = image.clone()
    hot[0, 40, 40] = 1000
    assert float((picture_of(hot) - picture_of(image)).abs().max()) < 4


def test_it_comes_back_from_text_and_a_network():
    torch.manual_seed(0)
    found = Familiarity(FamiliarityNetwork(), -0.25, 0.01)
    again = parse_familiarity(found.json(), found.network)
    assert (again.threshold, again.false_alarms) == (-0.25, 0.01)
    image = torch.rand(2, 90, 70)
    assert torch.equal(again.scores(image), found.scores(image))


@pytest.mark.parametrize(
    "text", ["{}", "[]", "3", '{"threshold": "high", "false_alarms": 0}', '{"threshold": 1, "false_alarms": 2}']
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own error is one, too
        parse_familiarity(text, FamiliarityNetwork())


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite threshold"):
        Familiarity(FamiliarityNetwork(), math.nan, 0.01)
