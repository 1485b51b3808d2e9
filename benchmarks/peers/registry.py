"""The methods by name, without importing any of them."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "nila"  # what the others are divided by
OUR_MAPS = "maps"
LONG = 100  # network evaluations; --quick leaves out what needs more


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes
    ----------
    key, label
        On the command line; in the tables.
    module, variant
        Whose `measure` makes it, and how it is asked.
    table
        "image", "maps" or "stream": what is compared; streams do not depend on the case.
    n_evaluations
        Of the network, about.
    package
        What to install where it is missing; nothing for what is in this repository.
    """

    key: str
    label: str
    module: str
    variant: str
    table: str = "image"
    n_evaluations: int = 0
    package: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it needs no other package."""
        return not self.package


METHODS = (
    Method("nila", "**Nila fast** (ours)", "peers.ours", "nila", n_evaluations=7),
    Method("l1-wavelet", "l1-wavelet (ours)", "peers.ours", "l1-wavelet"),
    Method("cg-sense", "CG-SENSE (ours)", "peers.ours", "cg-sense"),
    Method("published1000", "Nila as published, 1000 steps", "peers.ours", "published:1000", n_evaluations=1000),
    Method("published100", "Nila as published, 100 steps", "peers.ours", "published:100", n_evaluations=100),
    Method("published50", "Nila as published, 50 steps", "peers.ours", "published:50", n_evaluations=50),
    Method("dds", "DDS, reimplemented", "peers.dds", "", n_evaluations=50),
    Method("pula", "pULA, reimplemented", "peers.pula", "", n_evaluations=100),
    Method("diffpir", "deepinv DiffPIR", "peers.deepinv_samplers", "diffpir", "image", 100, "deepinv"),
    Method("dps", "deepinv DPS", "peers.deepinv_samplers", "dps:norm", "image", 1000, "deepinv"),
    Method("dps-annealed", "deepinv DPS, annealed", "peers.deepinv_samplers", "dps:annealed", "image", 1000, "deepinv"),
    Method("bart", "BART 0.8 pics l1-wavelet", "peers.bart_programs", "pics", package="bart (Debian)"),
    Method("bart-1.0", "BART 1.0 pics l1-wavelet", "peers.bart_programs", "pics-1.0", package="bartorch"),
    Method("bart-sample", "BART 1.0 sample", "peers.bart_programs", "sample-1.0", "image", 100, "bartorch"),
    Method("sigpy", "SigPy L1WaveletRecon", "peers.sigpy_apps", "l1-wavelet", package="sigpy"),
    Method("sigpy-sense", "SigPy SenseRecon", "peers.sigpy_apps", "sense", package="sigpy"),
    Method("maps", "**ESPIRiT** (ours)", "peers.ours", "maps", "maps"),
    Method("ecalib", "BART 0.8 ecalib", "peers.bart_programs", "ecalib", "maps", package="bart (Debian)"),
    Method("ecalib-1.0", "BART 1.0 ecalib", "peers.bart_programs", "ecalib-1.0", "maps", package="bartorch"),
    Method("sigpy-maps", "SigPy EspiritCalib", "peers.sigpy_apps", "maps", "maps", package="sigpy"),
    Method("read", "**read lines** (ours)", "peers.gadgetron_io", "read:ours", "stream"),
    Method("read-eager", "read lines, reader thread (ours)", "peers.gadgetron_io", "read:ours, eager", "stream"),
    Method("read-pypi", "read lines, PyPI gadgetron", "peers.gadgetron_io", "read:PyPI", "stream"),
    Method("write", "**write images** (ours)", "peers.gadgetron_io", "write:ours", "stream"),
    Method("write-pypi", "write images, PyPI gadgetron", "peers.gadgetron_io", "write:PyPI", "stream"),
)
BY_KEY = {method.key: method for method in METHODS}


def baseline(method: Method) -> str:
    """Key of our own row that this one is compared with."""
    if method.table == "stream":
        return method.key.split("-")[0]
    return OUR_MAPS if method.table == "maps" else OURS
