import math

import pytest
import torch

from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines.onnx.file import OnnxFacts, OnnxModel
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.prior.weights import shipped_weights
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior import export as module
from nilatron.pipelines.prior.export import (
    SIGMAS,
    Agreement,
    ExportSettings,
    agreement,
    build_tensorrt,
    check_tensorrt,
    compare,
    export,
    noisy_phantom,
    padded_shape,
)


def says_nothing(*_):
    pass


@pytest.fixture(scope="module")
def tiny():
    return load_prior(shipped_weights("tiny"))


class Off:
    """The denoiser, off by a share of its result above a noise level."""

    def __init__(self, denoiser, share, above=0.0):
        self.denoiser, self.share, self.above = denoiser, share, above
        self.sigma_data, self.multiple = denoiser.sigma_data, denoiser.multiple
        self.n_inputs = denoiser.n_inputs

    def __call__(self, x, s):
        return self.denoiser(x, s) * (1 + self.share * (s[0] * math.sqrt(2) > self.above))


@pytest.mark.slow
def test_the_error_is_relative_and_one_of_each_level(tiny):
    found = agreement("off", Off(tiny.denoiser, 1e-3), tiny.denoiser, (32, 24))
    assert found.errors == pytest.approx([1e-3] * len(SIGMAS), rel=1e-3)
    assert agreement("same", tiny.denoiser, tiny.denoiser, (32, 24)).worst == 0


def test_the_levels_are_those_of_the_default_schedule():
    assert (len(SIGMAS), SIGMAS[0], SIGMAS[-1]) == (8, pytest.approx(0.8), 0.01)


def test_not_a_number_is_the_worst():
    assert Agreement("it", (0.0, math.nan, 0.1)).worst == math.inf


def test_the_phantom_has_noise_of_its_level():
    noise = noisy_phantom((64, 64), 0.3, 0, 2) - noisy_phantom((64, 64), 0.0, 0, 2)
    assert float(noise.abs().square().mean().sqrt()) == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.slow
@pytest.mark.parametrize("off", [2e-3, math.nan])
def test_a_file_that_does_not_agree_does_not_stay(tmp_path, tiny, monkeypatch, off):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setattr(module, "OnnxDenoiser", lambda *_: Off(tiny.denoiser, off, above=0.4))
    monkeypatch.setattr(module, "cached_onnx", lambda *_: model_of(b"written"))
    monkeypatch.setattr(module, "SIZES", ((32, 24),))
    (tmp_path / "d.onnx").write_bytes(b"before")
    settings = ExportSettings(tmp_path / "d.onnx", shipped_weights("tiny"), overwrite=True)
    told = []
    with pytest.raises(InputError, match=r"is not written: its D differs from torch's by (0\.002|inf) at 32x24"):
        export(settings, lambda *words: told.append(words))
    assert told[0][3].startswith("exporting")
    shares = [done for done, total, *_ in told if total == 100]
    assert (shares[0], shares[-1]) == (0, 100)
    assert shares == sorted(shares)
    assert len(shares) == len(SIGMAS) + 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


def model_of(content, precision="fp32"):
    return OnnxModel(content, OnnxFacts(0.25, 8, precision, "0" * 64), "0" * 64)


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path):
    weights = shipped_weights("tiny")
    with pytest.raises(InputError, match="precision must be fp32 or fp16, got 'bf16'"):
        ExportSettings(tmp_path / "d.onnx", weights, "bf16")
    with pytest.raises(InputError, match=r"has to end in \.onnx"):
        ExportSettings(tmp_path / "d.pt", weights)
    (tmp_path / "d.onnx").touch()
    with pytest.raises(InputError, match="--overwrite"):
        ExportSettings(tmp_path / "d.onnx", weights)


def test_a_missing_package_is_found_before_the_work(tmp_path, monkeypatch):
    def absent(package):
        raise EngineError(f"the package {package} is not installed")

    monkeypatch.setattr(module, "import_package", absent)
    with pytest.raises(EngineError, match="onnx is not installed"):
        export(ExportSettings(tmp_path / "d.onnx", tmp_path / "no weights"), says_nothing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(64, 64), (230, 179), (7, 300)])
def test_engines_are_built_for_what_the_network_is_given(tiny, size):
    given = []

    class Watched(Off):
        def __call__(self, x, _):
            given.append((x.shape[0], *x.shape[2:]))
            return x[:, :2]

    denoise_complex(Watched(tiny.denoiser, 0.0), torch.zeros((2, *size), dtype=torch.complex64), 0.1)
    assert given == [padded_shape((2, *size), tiny.denoiser.multiple)]


def test_tensorrt_engines_need_tensorrt_and_a_gpu(monkeypatch):
    monkeypatch.setattr(module, "import_package", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="torch finds none here"):
        check_tensorrt()


@pytest.mark.slow
def test_tensorrt_engines_wait_in_the_cache(monkeypatch, tiny):
    asked = []
    monkeypatch.setattr(module, "check_tensorrt", lambda: "the package")
    monkeypatch.setattr(module, "cached_onnx", lambda prior, precision, _: model_of(prior.sha256.encode(), precision))
    monkeypatch.setattr("nilatron.core.prior.engines.tensorrt_engine.this_gpu", lambda: "the GPU")

    class Builder:
        def __init__(self, trt, model, gpu, _):
            assert (trt, model.content, model.facts.precision, gpu) == (
                "the package",
                tiny.sha256.encode(),
                "fp16",
                "the GPU",
            )

        def engine(self, shape):
            asked.append(shape)

    monkeypatch.setattr("nilatron.core.prior.engines.tensorrt_build.Builder", Builder)
    build_tensorrt(shipped_weights("tiny"), "fp16", [(1, 256, 256), (8, 230, 180)], says_nothing)
    views = [(8, 240, 192), (8, 192, 240), (8, 128, 96), (8, 96, 128)]
    assert asked == [(1, 264, 264), (1, 128, 128), *views]


@pytest.mark.slow
def test_half_precision_is_also_rounded_as_on_a_gpu(tiny, monkeypatch):
    monkeypatch.setattr(module, "SIZES", ((32, 24),))
    monkeypatch.setattr(module, "OnnxDenoiser", lambda *_: tiny.denoiser)
    exact, rounded = compare(tiny, model_of(b"", "fp16"))
    assert exact.worst == 0
    assert 0 < rounded.worst < 1e-2
