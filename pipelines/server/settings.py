"""What `nilatron serve` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines.settings import EngineSettings


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the server; times in seconds, memory in bytes.

    Attributes
    ----------
    host, port, health_port
        Where scans and where HTTP is answered (always on loopback); port 0 takes a free one.
    device
        auto, cpu or cuda.
    weights
        Of the prior; None takes the shipped ones.
    engine
        What computes the network where a chain leaves it open; None is torch.
    config_dirs
        Folders with chains beside the shipped ones.
    max_scans
        At once; further ones are refused.
    max_scans_per_peer
        Of them from one address; None is without such a limit. Gadgetron brings all its scans from one address.
    memory_bytes
        That all scans together may need, as estimated from their headers; None takes four fifths of what is free at start.
    noise_store
        Folder that keeps noise measurements for the scans that depend on them; None keeps none.
    scan_budget_s, slice_budget_s
        For the reconstruction, at most: what a peer asks for beyond them is lowered; None is without limit.
    worker_wait_s
        Longest wait until the worker has taken a slice on; then it becomes a conventional image.
    queue_wait_s
        Longest wait in the worker's queue, behind other slices; then it becomes a conventional image.
    max_scan_s
        From the connection to its end.
    opening_s
        From the connection to the end of its header.
    idle_s
        Longest silence of the other end between messages.
    grace_s
        After SIGTERM, until scans that still run are ended with an error.
    log_json, verbose
        Log lines as JSON; with what happens to every slice.
    fire
        Whether every client is taken for FIRE, also one that sends no parameters.
    """

    host: str = "127.0.0.1"
    port: int = 9002
    health_port: int = 9003
    device: str = "auto"
    weights: Path | None = None
    engine: str | None = None
    config_dirs: tuple[Path, ...] = ()
    max_scans: int = 16
    max_scans_per_peer: int | None = None
    memory_bytes: int | None = None
    noise_store: Path | None = None
    scan_budget_s: float | None = None
    slice_budget_s: float | None = None
    worker_wait_s: float = 20.0
    queue_wait_s: float = 120.0
    max_scan_s: float = 7200.0
    opening_s: float = 60.0
    idle_s: float = 900.0
    grace_s: float = 30.0
    log_json: bool = True
    verbose: bool = False
    fire: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.device not in ("auto", "cpu", "cuda"):
            raise BadInputError(f"device must be auto, cpu or cuda, got {self.device!r}")
        try:
            EngineSettings(self.engine or "torch")
        except ValueError as error:
            raise BadInputError(str(error)) from error
        for name in ("port", "health_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise BadInputError(f"{name} must be 0 to 65535, got {getattr(self, name)}")
        for name in (
            "max_scans",
            "max_scans_per_peer",
            "memory_bytes",
            "scan_budget_s",
            "slice_budget_s",
            "max_scan_s",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadInputError(f"{name} must be positive, got {value}")
        for name in ("worker_wait_s", "queue_wait_s", "opening_s", "idle_s", "grace_s"):
            if not getattr(self, name) >= 0:
                raise BadInputError(f"{name} must not be negative, got {getattr(self, name)}")
