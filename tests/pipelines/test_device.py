import pytest

from nilatron.core.errors import BadInputError
from nilatron.pipelines.device import resolve_device


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(BadInputError, match="device must be auto, cpu or cuda, got 'gpu'"):
        resolve_device("gpu")
