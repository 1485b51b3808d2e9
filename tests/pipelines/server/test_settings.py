import pytest

from nilatron.core.errors import BadInputError
from nilatron.pipelines.server.settings import ServeSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "gpu"},
        {"port": 70000},
        {"health_port": -1},
        {"max_scans": 0},
        {"scan_budget_s": -1.0},
        {"grace_s": -1.0},
        {"engine": "caffe"},
    ],
)
def test_values_outside_their_range_are_named(wrong):
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        ServeSettings(**wrong)


def test_loopback_is_the_default():
    assert ServeSettings().host == "127.0.0.1"
