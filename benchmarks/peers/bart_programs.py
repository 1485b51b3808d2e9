"""BART: the program of the distribution (0.8), and BART 1.0 inside PyTorch (package bartorch)."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from bart import ITERATIONS, Bart, oracle
from nilatron.core.backend import ComplexArray
from peers.case import Case
from peers.maps import map_error
from peers.measurement import Measurement, RunSettings, once, timed

LIKELY = 8  # of bart.LAMBDAS; the search for the best lambda begins around it
WATCH = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); \
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """Variant: "pics", "ecalib" (the program), "pics-1.0", "ecalib-1.0" or "sample-1.0" (bartorch)."""
    if variant == "sample-1.0":
        return sample()
    if variant.endswith("-1.0"):
        return embedded_maps(case, settings) if variant.startswith("ecalib") else embedded_image(case, settings)
    program = shutil.which("bart")
    if program is None:
        raise ModuleNotFoundError("the program bart (Debian package bart)")
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(program, Path(folder))
        bart.write("kspace", case.kspace)
        return program_maps(bart, case, settings) if variant == "ecalib" else program_image(bart, case, settings)


def program_maps(bart: Bart, case: Case, settings: RunSettings) -> Measurement:
    """`ecalib`, each run a process of its own with its files."""
    n_lines = case.calibration.shape[2]
    bart.ecalib(n_lines)
    seconds = statistics.median(bart.ecalib(n_lines) for _ in range(settings.rounds))
    peak = child_peak(bart, "ecalib", "-m1", f"-r{n_lines}", "kspace", "maps")
    error = map_error(bart.read("maps"), case)
    return Measurement(seconds, settings.rounds, map_error=error, peak_bytes=peak, note="with start and files")


def program_image(bart: Bart, case: Case, settings: RunSettings) -> Measurement:
    """`pics` with the best lambda; seconds of that lambda only."""
    bart.write("maps", case.maps)
    quality, value = oracle(lambda value: case.psnr(bart.l1_wavelet(value)[0]), start=LIKELY)
    seconds = statistics.median(bart.l1_wavelet(value)[1] for _ in range(settings.rounds))
    term = f"W:3:0:{value:.6f}"
    peak = child_peak(bart, "pics", "-R", term, f"-i{ITERATIONS}", "kspace", "maps", "image")
    note = f"lambda {value:.4f} by oracle; with start and files"
    return Measurement(seconds, settings.rounds, quality, peak_bytes=peak, note=note)


def child_peak(bart: Bart, *arguments: str) -> float:
    """Peak resident bytes of one run, started by a small process: a child's figure begins with its parent's."""
    words = [sys.executable, "-I", "-S", "-c", WATCH, bart.program, *arguments]
    done = subprocess.run(words, cwd=bart.folder, check=True, stdout=subprocess.PIPE, text=True)
    return 1024.0 * int(done.stdout)


def embedded_maps(case: Case, settings: RunSettings) -> Measurement:
    """`ecalib` in this process."""
    from bartorch import tools  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kspace, n_lines = torch.from_numpy(case.kspace), case.calibration.shape[2]
    maps, seconds, rounds = timed(lambda: tools.ecalib(kspace, maps=1, r=n_lines), settings.rounds)
    found: ComplexArray = maps.numpy().reshape(case.maps.shape)
    return Measurement(seconds, rounds, map_error=map_error(found, case), note=version())


def embedded_image(case: Case, settings: RunSettings) -> Measurement:
    """`pics` in this process, with the best lambda."""
    from bartorch import apps, priors  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kspace, maps = torch.from_numpy(case.kspace), torch.from_numpy(case.maps)

    def reconstruct(value: float) -> ComplexArray:
        term = priors.Wavelet((-1, -2), value)
        image: ComplexArray = apps.pics(kspace, maps, regularizers=term, maxiter=ITERATIONS).numpy()
        return image

    quality, value = oracle(lambda value: case.psnr(reconstruct(value)), start=LIKELY)
    call: Callable[[], ComplexArray] = partial(reconstruct, value)
    _, seconds, rounds = timed(call, settings.rounds)
    note = f"lambda {value:.4f} by oracle; {version()}"
    return Measurement(seconds, rounds, quality, note=note)


def sample() -> Measurement:
    """BART's own diffusion sampler, if this build could run a network.

    Raises
    ------
    RuntimeError
        BART's message where it cannot.
    """
    from bartorch import _dispatch

    _, seconds = once(lambda: _dispatch.dispatch("sample", [], [8, 8], dims="8:8", external_graph="network.pt", N=2))
    raise RuntimeError(f"this BART runs networks ({seconds:.1f} s): an adapter for `sample` is worth writing now")


def version() -> str:
    """BART's version in bartorch."""
    import bartorch

    return f"BART {bartorch.bart_version().removeprefix('v')} in bartorch {bartorch.__version__}"
