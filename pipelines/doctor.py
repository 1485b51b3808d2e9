"""Is this installation fit to reconstruct? One finding a line."""

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
    """What was looked at, what was found, and whether it is good."""

    what: str
    found: str
    good: bool = True


def examine() -> Iterator[Finding]:
    """All findings, cheap ones first."""
    yield Finding("interpreter", f"{sys.executable}, Python {platform.python_version()}", sys.version_info >= (3, 11))
    for package in PACKAGES:
        yield package_version(package)
    yield gpu()
    yield weights()
    yield chains()
    yield loop_back()


def package_version(package: str) -> Finding:
    """Whether a required package is installed, and which."""
    try:
        return Finding(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "not installed: pip install nilatron again in this environment", good=False)


def gpu() -> Finding:
    """A GPU is welcome, not needed."""
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "none that torch can use; reconstructing on the CPU")
    return Finding("GPU", torch.cuda.get_device_name())


def weights() -> Finding:
    """Whether the shipped prior loads."""
    from nilatron.core.prior.edm_weights import load_prior

    try:
        prior = load_prior()
    except BadInputError as error:
        return Finding("prior", str(error), good=False)
    return Finding(
        "prior", f"trained for {prior.metadata.get('trained_steps', '?')} steps, SHA-256 {prior.sha256[:16]}"
    )


def chains() -> Finding:
    """Whether every shipped chain is one that Gadgetron's parser would take."""
    from nilatron.pipelines.chain.find import find_chain, list_chains
    from nilatron.pipelines.chain.grammar import check_grammar

    try:
        names = list_chains()
        for name in names:
            check_grammar(find_chain(name).xml, name)
    except BadInputError as error:
        return Finding("chains", str(error), good=False)
    return Finding("chains", ", ".join(names), good=bool(names))


def loop_back() -> Finding:
    """Simulate a small scan and replay it."""
    from nilatron.pipelines.replay import ReplaySettings, replay
    from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

    with tempfile.TemporaryDirectory() as folder:
        raw, output = Path(folder) / "raw.h5", Path(folder) / "images.h5"
        try:
            simulate(raw, SimulationSettings(matrix=(64, 64, 1), n_coils=4, acceleration=2, calibration_lines=16))
            report = replay(ReplaySettings(raw, output))
        except (BadInputError, RuntimeError, OSError) as error:
            return Finding("loop-back replay", f"{type(error).__name__}: {error}", good=False)
    found = f"{report.n_images} of {report.n_expected} images in {report.seconds:.1f} s"
    return Finding("loop-back replay", found, report.complete)
