import pytest

from nilatron.gadgets.encoding import Limit
from nilatron.gadgets.plan.progress import Progress, gap, missing_end, reaches

WHOLE = Limit(0, 32, 63)


def test_lines_are_remembered_in_the_order_of_their_coming():
    progress = Progress()
    for number, step in enumerate((5, 9, 7), start=11):
        progress.add((step, 2), number, is_last=step == 9)
    assert (progress.n_lines, progress.first_at, progress.last_at) == (3, 11, 13)
    assert progress.steps == ({5, 7, 9}, {2})
    assert progress.last_step == (7, 2)
    assert not progress.is_flagged  # the mark was on a line before


@pytest.mark.parametrize(
    ("steps", "expected"), [({3}, 1), (range(0, 64, 4), 4), ({*range(0, 64, 6), *range(28, 36)}, 6), ({1, 2, 9}, 7)]
)
def test_the_gap_is_that_of_the_undersampling(steps, expected):
    assert gap(steps) == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (range(64), True),
        (range(0, 64, 3), True),
        (range(2, 64, 3), True),
        (range(40), False),
        (range(0, 40, 2), False),
        (range(16, 64), False),
    ],
)
def test_lines_reach_the_limits_give_or_take_a_step(steps, expected):
    assert reaches(set(steps), WHOLE) is expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (range(40), (40, 63)),
        (range(0, 40, 2), (39, 63)),
        (range(63, 20, -1), (0, 20)),
        (range(64), None),
        (range(0, 64, 4), None),
        (range(16, 64), None),  # partial Fourier that leaves out the beginning
        ([*range(32, 48), *range(31, 15, -1)], (0, 15)),
        ([*range(32, 0, -1), 40, 36], None),  # an order that tells nothing
    ],
)
def test_a_scan_that_stopped_misses_what_lay_ahead(order, expected):
    steps = list(order)
    assert missing_end(set(steps), steps[-1], WHOLE) == expected
