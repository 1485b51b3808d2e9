"""Check of an installation: interpreter, packages, GPU, weights, chains and a small reconstruction."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nilatron.core.errors import BadInputError

MIB, GIB = 1 << 20, 1 << 30
MIN_MEMORY_BYTES = GIB // 2  # what a process takes before its first scan
REQUIREMENT_OF_EXTRA = re.compile(r"""(?P<package>[\w.-]+).*;.*extra\s*==\s*["'](?P<extra>[\w-]+)""")
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
    yield from extras()
    yield gpu()
    yield memory()
    yield threads()
    yield cache()
    yield ports()
    yield weights()
    yield chains()
    yield loop_back()


def package_version(package: str) -> Finding:
    """Version of a required package, or that it is not installed."""
    try:
        return Finding(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "not installed: pip install nilatron again in this environment", ok=False)


def extras(distribution: str = "nilatron") -> Iterator[Finding]:
    """Extras of this installation, each with what of it is missing, which is no error."""
    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("extras", "not known: this is a source tree, not an installation")
        return
    packages: dict[str, list[str]] = {}
    for requirement in requirements:
        if found := REQUIREMENT_OF_EXTRA.match(requirement):
            packages.setdefault(found["extra"], []).append(found["package"])
    for extra, names in sorted(packages.items()):
        missing = [name for name in names if not is_installed(name)]
        how = f"pip install '{distribution}[{extra}]'"
        yield Finding(f"extra {extra}", f"without {', '.join(missing)}: {how}" if missing else "installed")


def is_installed(package: str) -> bool:
    """Whether a package is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def memory() -> Finding:
    """Memory of this machine or container, which has to be enough for the process itself."""
    from nilatron.pipelines.conversation.memory import memory_bytes

    n_bytes = memory_bytes()
    return Finding("memory", f"{n_bytes / GIB:.1f} GiB", ok=n_bytes > MIN_MEMORY_BYTES)


def threads() -> Finding:
    """Processors of this process, and threads that compute the network."""
    import torch

    n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stated = os.environ.get("OMP_NUM_THREADS")
    of = f" (OMP_NUM_THREADS={stated})" if stated else ""
    return Finding("threads", f"{torch.get_num_threads()} for the network{of}, {n_processors} processors")


def cache() -> Finding:
    """Folder of models made on this machine, with its size."""
    from nilatron.gadgets.engine_cache import FolderCache, user_cache

    found = user_cache()
    if not isinstance(found, FolderCache):
        return Finding("cache", "no folder that can be used: models are made anew in every process")
    sizes = [path.stat().st_size for path in found.folder.iterdir() if path.is_file()]
    return Finding("cache", f"{found.folder}, {len(sizes)} file{'s' * (len(sizes) != 1)}, {sum(sizes) / MIB:.1f} MiB")


def ports() -> Finding:
    """Whether the ports of `nilatron serve` are free; a server that runs already has them."""
    from nilatron.pipelines.server.settings import ServeSettings

    settings = ServeSettings()
    taken = [port for port in (settings.port, settings.health_port) if not is_free(port)]
    state = f"{', '.join(map(str, taken))} in use, by a server that runs or by others" if taken else "free"
    return Finding("ports", f"{settings.port} for scans and {settings.health_port} for health: {state}")


def is_free(port: int) -> bool:
    """Whether a server could listen at a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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
    from nilatron.pipelines.replay.run import replay
    from nilatron.pipelines.replay.settings import ReplaySettings
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
