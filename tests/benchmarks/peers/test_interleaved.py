import pytest

from peers.interleaved import interleaved
from peers.registry import BY_KEY

IMAGES = [BY_KEY[key] for key in ("nila", "published1000", "bart", "maps")]


def run_of(answers):
    """Each call of a method gives its next answer; the keys that were asked for."""
    asked = []

    def run(method):
        asked.append(method.key)
        return dict(answers[method.key].pop(0))

    return run, asked


def test_ours_is_measured_after_each_peer_and_its_median_counts():
    ours = [{"seconds": seconds, "psnr_db": 30.0} for seconds in (1.0, 5.0, 2.0)]
    answers = {
        "nila": ours,
        "published1000": [{"seconds": 100.0}],
        "bart": [{"seconds": 3.0}],
        "maps": [{"seconds": 0.1}],
    }
    run, asked = run_of(answers)
    found = interleaved(IMAGES, run)
    assert asked == ["nila", "published1000", "nila", "bart", "nila", "maps"]
    assert found["nila"] == {"seconds": 2.0, "seconds_each": [1.0, 5.0, 2.0], "psnr_db": 30.0}
    assert found["published1000"] == {"seconds": 100.0}
    assert found["maps"]["seconds"] == 0.1


def test_rates_have_their_median_too():
    run, _ = run_of({"read": [{"per_second": rate} for rate in (4.0, 2.0)], "read-pypi": [{"per_second": 1.0}]})
    assert interleaved([BY_KEY["read"], BY_KEY["read-pypi"]], run)["read"]["per_second"] == 3.0


@pytest.mark.parametrize("key", ["published1000", "bart"])
def test_without_ours_nothing_is_repeated(key):
    run, asked = run_of({key: [{"seconds": 1.0}]})
    assert interleaved([BY_KEY[key]], run) == {key: {"seconds": 1.0}}
    assert asked == [key]


def test_what_failed_counts_for_nothing():
    missing = {"missing": "failed: x"}
    run, _ = run_of({"nila": [{"seconds": 1.0}, missing], "bart": [{"seconds": 3.0}]})
    assert interleaved([BY_KEY["nila"], BY_KEY["bart"]], run)["nila"]["seconds"] == 1.0
    run, _ = run_of({"nila": [missing, missing], "bart": [{"seconds": 3.0}]})
    assert interleaved([BY_KEY["nila"], BY_KEY["bart"]], run)["nila"] == missing
