from dataclasses import dataclass

import pytest

from nilatron.core.bounds import bounded, check_bounds


@dataclass(frozen=True)
class Settings:
    steps: int = bounded(7, 1, 1000)
    seed: int | None = bounded(None, 0, 9)
    share: float = bounded(0.5, 0, 1, formerly="part")
    free: float = 1e300


@pytest.mark.parametrize("values", [{}, {"steps": 1}, {"steps": 1000}, {"seed": 9}, {"share": 0}, {"free": 1e308}])
def test_values_within_their_bounds(values):
    check_bounds(Settings(**values))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"steps": 0}, "steps must be from 1 to 1000, got 0"),
        ({"steps": 10**9}, "steps must be from 1 to 1000, got 1000000000"),
        ({"seed": -1}, "seed must be from 0 to 9, got -1"),
        ({"share": float("nan")}, "share must be from 0 to 1, got nan"),
        ({"share": float("inf")}, "share must be from 0 to 1, got inf"),
    ],
)
def test_values_beyond_them_are_named_with_the_range(values, text):
    with pytest.raises(ValueError, match=text):
        check_bounds(Settings(**values))
