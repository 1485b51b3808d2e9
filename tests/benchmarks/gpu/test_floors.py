"""Fractions of floors, on a machine whose rates are given and whose calls take a second."""

import pytest

from floors import Machine, network_flops, product_bytes
from gpu import floors as module
from gpu.timing import Times


@pytest.mark.slow
def test_floors_of_a_known_machine(found, small, monkeypatch):
    monkeypatch.setattr(module, "measure_machine", lambda _: Machine(2, 1e12, "bfloat16", 1e9))
    monkeypatch.setattr(module.Stopwatch, "times", lambda _, call: Times((1.0,)) if call() is not None else None)
    module.measure(found, "cpu", small)
    network, product, sampler = found.tables[module.TITLE]
    flops = network_flops(small.weights, (small.matrix, small.matrix))
    assert network["floor / ms"] == pytest.approx(flops / 1e9)
    assert product["floor / ms"] == pytest.approx(
        product_bytes(4, (1, 64, 64)) / 1e6, rel=0.5
    )  # of the coils that are left
    assert sampler["floor / ms"] > 3 * network["floor / ms"]
    assert all(row["floor / median"] == pytest.approx(row["floor / ms"] / 1e3) for row in (network, product, sampler))
    assert found.notes == ["1 TFLOP/s (bfloat16), copying 1 GB/s, read and written"]
