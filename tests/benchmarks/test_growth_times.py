"""Exponents of seconds that are known."""

import pytest

from growth_times import GROWTHS, exponent, exponents
from nilatron.gadgets.nila.settings import NilaNodeSettings


def test_a_power_is_found_whatever_overhead_small_sizes_have():
    assert exponent({n: 0.01 * n**1.5 for n in (4.0, 8.0, 16.0)}) == pytest.approx(1.5)
    assert exponent({n: 0.01 * n**2 if n > 90 else 5.0 for n in (64.0, 96.0, 128.0, 192.0, 256.0)}) == pytest.approx(2)


def test_one_slow_round_is_outvoted():
    sizes = GROWTHS["slices"].sizes
    points = {n: [0.1 * n, 0.1 * n, 0.1 * n**3] for n in sizes}
    (row,) = exponents({"slices": {"Nila, tiny": points}}, GROWTHS)
    assert (row["exponent"], row["expected"], row["too fast"]) == (pytest.approx(1), 1, "")
    assert row["of rounds"] == "1.00 to 3.00"


def test_a_power_too_many_is_reported():
    points = {n: [0.1 * n**1.3] for n in GROWTHS["slices"].sizes}
    (row,) = exponents({"slices": {"CG-SENSE": points}}, GROWTHS)
    assert row["too fast"] == "yes"


def test_samples_are_counted_as_evaluations_of_the_network():
    settings, growth = NilaNodeSettings(), GROWTHS["samples"]
    points = {n: [0.01 * (settings.steps + n * settings.steps_each(error_known=True))] for n in growth.sizes}
    (row,) = exponents({"samples": {"Nila, default": points}}, GROWTHS)
    assert row["exponent"] == pytest.approx(1)
