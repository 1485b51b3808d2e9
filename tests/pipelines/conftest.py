import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.core.prior.weights import save_prior
from nilatron.pipelines.client_request import Address
from nilatron.pipelines.replay import ReplaySettings, replay
from nilatron.pipelines.simulate import SimulationSettings, simulate

SETTINGS = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    simulate(path, replace(SETTINGS, waveform_every=4))
    return path


@pytest.fixture
def raw_path(pristine, tmp_path):
    return Path(shutil.copy(pristine, tmp_path / "raw.h5"))


@pytest.fixture
def replayed(tmp_path):
    """Simulate a scan, optionally spoil the file, and replay it; returns the report and images by (series, slice, ...).

    Keys of the images are (series, slice, contrast, repetition), values arrays (z, y, x).
    """

    def run(settings, chain="cg_sense", *, edit=None, **options):
        raw, output = tmp_path / "raw.h5", tmp_path / "out.h5"
        simulate(raw, settings, overwrite=True)
        if edit is not None:
            edit(raw)
        report = replay(ReplaySettings(raw, output, chain, output_group="images", overwrite=True, **options))
        return report, read_images(output)

    return run


def read_images(path, group="images"):
    images = {}
    with h5py.File(path) as file:
        for name, series in file[group].items():
            for head, pixels in zip(series["header"][:], series["data"][:], strict=True):
                key = (int(name.split("_")[1]), *(int(head[index]) for index in ("slice", "contrast", "repetition")))
                assert key not in images, f"two images of {key}"
                images[key] = pixels[0]
    return images


@pytest.fixture
def linear_prior(tmp_path):
    """Weights of a prior whose network is zero: the denoiser of white Gaussian images, known in closed form."""
    path = tmp_path / "prior.safetensors"
    denoiser = EDMDenoiser(ARCHITECTURES["tiny"], sigma_data=0.5)
    save_prior(path, denoiser, {"licence": "none", "trained_steps": "0"})
    return path


@pytest.fixture
def serve():
    """Have a function answer one connection, in a thread; returns the address. What it raises fails the test."""
    threads, failures = [], []

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)

        def run():
            try:
                with listener, listener.accept()[0] as sock:
                    sock.settimeout(20)
                    answer(sock)
            except Exception as error:  # noqa: BLE001 - raised again in the test
                failures.append(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return Address("127.0.0.1", listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
