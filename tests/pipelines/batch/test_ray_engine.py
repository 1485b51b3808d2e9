"""Ray where it is not: what is said. Actors that work are in test_workers."""

import os
import sys

import pytest

from nilatron.core.errors import BadInputError
from nilatron.pipelines.batch.ray_engine import RayEngine
from nilatron.pipelines.batch.settings import Limits


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInputError, match=r"nilatron\[cluster\]"):
        RayEngine(Limits(), "auto")


class AbsentRay:
    """A package whose clusters are not there."""

    n_starts = 0

    def init(self, **_):
        self.n_starts += 1
        raise RuntimeError("daemons are slow\nsee the log")

    def shutdown(self):
        pass


@pytest.mark.parametrize(
    ("address", "n_starts", "told"), [("auto", 3, "--ray off"), ("10.0.0.1:6379", 1, "10.0.0.1:6379")]
)
def test_no_cluster_is_a_connection_that_failed(monkeypatch, address, n_starts, told):
    ray = AbsentRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConnectionError, match=f"{told}: daemons are slow$|{told} does without: daemons are slow$"):
        RayEngine(Limits(), address)
    assert ray.n_starts == n_starts


def test_the_address_may_be_in_the_environment(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", AbsentRay())
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    with pytest.raises(ConnectionError, match=r"10\.0\.0\.2"):
        RayEngine(Limits(), "auto")


def test_usage_is_reported_to_nobody(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", AbsentRay())
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    with pytest.raises(ConnectionError):
        RayEngine(Limits(), "10.0.0.1:6379")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
