import subprocess
import sys
from pathlib import Path

import pytest

from nilatron.core.prior.engines import settings
from nilatron.core.prior.engines.settings import EngineSettings


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="engine must be one of torch, onnx, openvino, tensorrt, got 'caffe'"):
        EngineSettings(engine="caffe")
    with pytest.raises(ValueError, match="precision must be one of auto, fp32"):
        EngineSettings(precision="int8")


@pytest.mark.parametrize(("engine", "extra"), [("onnx", "export"), ("openvino", "openvino")])
def test_engines_that_are_not_installed_are_refused_at_once(monkeypatch, engine, extra):
    monkeypatch.setattr(settings, "is_installed", lambda _: False)
    with pytest.raises(ValueError, match=rf"engine {engine} needs onnx and .*pip install 'nilatron\[{extra}\]'"):
        EngineSettings(engine)


def test_tensorrt_may_be_absent(monkeypatch):
    monkeypatch.setattr(settings, "is_installed", lambda _: False)
    assert EngineSettings("tensorrt").engine == "tensorrt"


@pytest.mark.slow
def test_settings_import_no_runtime():
    source = Path(settings.__file__).resolve().parents[3] / "src"
    code = (
        "import sys; from nilatron.gadgets.nila.prior import prior_for\n"
        "from nilatron.core.prior.engines.settings import EngineSettings; EngineSettings('tensorrt')\n"
        "print([n for n in ('onnx', 'onnxscript', 'onnxruntime', 'openvino', 'tensorrt', 'torch') if n in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
