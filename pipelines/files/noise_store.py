"""Store of noise covariances in a folder, by measurement id.

An entry is a safetensors file whose name is a hash of the id, so that no id can name another path. Its metadata hold the id
itself, dwell time, bandwidth ratio, coil labels and number of samples. A damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.disk import tensors_written

log = logging.getLogger(__name__)

MOST_ENTRIES = 1000  # the oldest go: what comes over the network must not fill the disk
PATTERN = "noise-*.safetensors"
TENSOR = "covariance"  # float64 (2, coil, coil): real part, imaginary part


@dataclass(frozen=True)
class NoiseFolder:
    """A `gadgets.known_noise.NoiseStore` in `folder`, which is made with the first entry."""

    folder: Path

    def read(self, measurement_id: str) -> NoiseCovariance | None:
        """Noise covariance of a measurement; None where it is not stored or its file is damaged."""
        path = self.path_of(measurement_id)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                parts, stored = np.asarray(file.get_tensor(TENSOR)), file.metadata() or {}
            return _noise(parts, stored, measurement_id)
        except (OSError, SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
            log.warning("the noise of measurement %r in %s cannot be read: %s", measurement_id, path, error)
            return None

    def write(self, noise: NoiseCovariance) -> None:
        """Store the noise covariance of a measurement, in place of an earlier one; the file appears whole or not at all.

        Raises
        ------
        InputError
            When the folder cannot be made or written.
        OutputError
            When the disk is full, or fails otherwise.
        """
        make_folder(self.folder)
        stored = {
            "measurement_id": noise.origin.measurement_id,
            "n_samples": str(noise.n_samples),
            "dwell_us": repr(noise.dwell_us),
            "bandwidth_ratio": json.dumps(noise.origin.bandwidth_ratio),
            "coil_names": json.dumps(noise.coil_names),
        }
        parts = np.stack([noise.covariance.real, noise.covariance.imag]).astype(np.float64)
        with atomic_path(self.path_of(noise.origin.measurement_id)) as temporary, tensors_written(temporary):
            save_file({TENSOR: parts}, temporary, stored)
        self._forget_oldest()

    def path_of(self, measurement_id: str) -> Path:
        """File of a measurement's noise."""
        digest = hashlib.sha256(measurement_id.encode(errors="surrogateescape")).hexdigest()
        return self.folder / PATTERN.replace("*", digest[:32])

    def _forget_oldest(self) -> None:
        entries = sorted(self.folder.glob(PATTERN), key=os.path.getmtime)
        for path in entries[:-MOST_ENTRIES]:
            path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make the folder of a store, unless it exists.

    Raises
    ------
    InputError
        When the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the noise store {folder} cannot be a folder: {error.strerror}") from None


def _noise(parts: np.ndarray, stored: dict[str, str], measurement_id: str) -> NoiseCovariance:
    """The noise covariance of a file's tensor and metadata.

    Raises
    ------
    ValueError, LookupError, TypeError
        When they are not the noise covariance of this measurement.
    """
    if stored["measurement_id"] != measurement_id:
        raise ValueError(f"it is that of {stored['measurement_id']!r}")
    ratio, names = json.loads(stored["bandwidth_ratio"]), json.loads(stored["coil_names"])
    n_coils = parts.shape[-1]
    if parts.shape != (2, n_coils, n_coils) or not np.isfinite(parts).all():
        raise ValueError(f"expected a finite covariance of shape (2, coil, coil), got {parts.shape}")
    if names is not None and len(names) != n_coils:
        raise ValueError(f"expected {n_coils} coil names, got {len(names)}")
    return NoiseCovariance(
        covariance=parts[0] + 1j * parts[1],
        n_samples=int(stored["n_samples"]),
        dwell_us=float(stored["dwell_us"]),
        origin=NoiseOrigin("store", measurement_id, None if ratio is None else float(ratio)),
        coil_names=None if names is None else tuple(map(str, names)),
    )
