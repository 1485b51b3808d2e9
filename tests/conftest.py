"""A measurement and a prior of a test's own, as somebody who adds one would write them; which tests need a GPU, or are slow."""

import logging
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nilatron.core.backend import namespace
from nilatron.core.measurement import Measurement
from nilatron.core.prior.prior import Estimate

BENCHMARKS = Path(__file__).parent / "benchmarks"


class MaskedIdentity(Measurement):
    """Some pixels, each seen through coils: y_c = m S_c x."""

    def __init__(self, coils, mask):
        self.coils, self.mask = coils, mask

    def forward(self, x):
        return self.mask * self.coils * x[..., None, :, :, :]

    def adjoint(self, y):
        return namespace(y).sum(self.mask * self.coils.conj() * y, axis=-4)

    @property
    def n_samples(self):
        return int(self.mask.sum()) * self.coils.shape[-4]

    @property
    def norm_bound(self):
        return float((abs(self.coils) ** 2).sum(-4).max())


class GaussianPrior:
    """CN(0, v) in every pixel: D(x, s) = x v / (v + s^2), of variance v s^2 / (v + s^2)."""

    def __init__(self, variance=0.25):
        self.variance, self.sha256, self.label = variance, "ab" * 32, "closed form"

    def estimate(self, x, sigma, previous_estimate=None):
        del previous_estimate
        gain = self.variance / (self.variance + sigma**2)
        return Estimate(gain * x, gain * sigma**2 + 0 * abs(x))


@pytest.fixture
def toy_measurement():
    """Makes a measurement of images (z, y, x): three coils, a fifth of the pixels hidden."""

    def make(shape, n_coils=3, seed=0):
        rng = np.random.default_rng(seed)
        coils = rng.standard_normal((n_coils, *shape)) + 1j * rng.standard_normal((n_coils, *shape))
        coils /= np.sqrt(np.sum(np.abs(coils) ** 2, axis=0))
        mask = (rng.random(shape) < 0.8).astype(np.float32)
        return MaskedIdentity(coils.astype(np.complex64), mask)

    return make


@pytest.fixture
def small_disk():
    """Block in which no file grows beyond a number of bytes: the system refuses it as it does on a full disk."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture
def toy_prior():
    return GaussianPrior()


def pytest_configure():
    """Take Ctrl-C as a program in the foreground does: shells have those in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_levels_stay():
    """What a command sets for its run is not left to the tests after it."""
    loggers = [logging.getLogger(), logging.getLogger("nilatron")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def pytest_runtest_setup(item):
    """Tests marked `gpu` run where torch can use one."""
    if item.get_closest_marker("gpu") is not None:
        import torch  # not before a test asks for it

        if not torch.cuda.is_available():
            pytest.skip("torch finds no NVIDIA GPU")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config, items):
    """Tests that start a server or a node as a program are slow, and nobody waits for those of benchmarks before a commit.

    Processes that share the tests begin with files of slow ones: at the end one would be busy with such a file alone.
    """
    for item in items:
        starts_a_program = {"server", "make_server", "forked"} & set(item.fixturenames)
        if starts_a_program or BENCHMARKS in item.path.parents:
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)
