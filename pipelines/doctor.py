"""Check of an installation: interpreter, packages, GPU, weights, chains and a small reconstruction."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nilatron.core.errors import BadInputError

PACKAGES = ("numpy", "scipy", "torch", "ismrmrd", "gadgetron", "h5py", "safetensors", "array-api-compat")


@dataclass(frozen=True)
class Finding:
    """Result of one check: its subject, the result in words, and whether it is as it should be."""

    subject: str
    result: str
    ok: bool = True


def examine() -> Iterator[Finding]:
    """Findings of all checks, quick ones first."""
    yield Finding("interpreter", f"{sys.executable}, Python {platform.python_version()}", sys.version_info >= (3, 11))
    for package in PACKAGES:
        yield package_version(package)
    yield gpu()
    yield weights()
    yield chains()
    yield loop_back()


def package_version(package: str) -> Finding:
    """Version of a required package, or that it is not installed."""
    try:
        return Finding(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "not installed: pip install nilatron again in this environment", ok=False)


def gpu() -> Finding:
    """Name of the GPU, or that there is none, which is no error."""
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "none that torch can use; reconstructing on the CPU")
    return Finding("GPU", torch.cuda.get_device_name())


def weights() -> Finding:
    """Whether the shipped weights can be loaded."""
    from nilatron.core.prior.edm_weights import load_prior

    try:
        prior = load_prior()
    except BadInputError as error:
        return Finding("prior", str(error), ok=False)
    return Finding(
        "prior", f"trained for {prior.metadata.get('trained_steps', '?')} steps, SHA-256 {prior.sha256[:16]}"
    )


def chains() -> Finding:
    """Whether Gadgetron's parser would accept every shipped chain."""
    from nilatron.pipelines.chain.find import find_chain, list_chains
    from nilatron.pipelines.chain.grammar import check_grammar

    try:
        names = list_chains()
        for name in names:
            check_grammar(find_chain(name).xml, name)
    except BadInputError as error:
        return Finding("chains", str(error), ok=False)
    return Finding("chains", ", ".join(names), ok=bool(names))


def loop_back() -> Finding:
    """Whether a small simulated scan can be reconstructed."""
    from nilatron.pipelines.replay import ReplaySettings, replay
    from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

    with tempfile.TemporaryDirectory() as folder:
        raw, output = Path(folder) / "raw.h5", Path(folder) / "images.h5"
        try:
            simulate(raw, SimulationSettings(matrix=(64, 64, 1), n_coils=4, acceleration=2, calibration_lines=16))
            report = replay(ReplaySettings(raw, output))
        except (BadInputError, RuntimeError, OSError) as error:
            return Finding("loop-back replay", f"{type(error).__name__}: {error}", ok=False)
    result = f"{report.n_images} of {report.n_expected} images in {report.seconds:.1f} s"
    return Finding("loop-back replay", result, report.complete)
