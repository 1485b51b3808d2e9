"""Noise of other measurements, written to a store and read by the scans that depend on them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.known_noise import NOISE_NOT_WRITTEN, NOISE_STORED, NoiseCovariance, NoiseStore
from nilatron.gadgets.noise.channels import Names, matched_channels
from nilatron.gadgets.noise.header import noise_dependencies, receiver_factor

log = logging.getLogger(__name__)


@dataclass
class StoredNoise:
    """Noise of the measurement that the header of a scan depends on.

    Attributes
    ----------
    missing
        The reason why it is not used, in words; empty where the scan depends on none or it is used.
    """

    missing: str = ""
    _noise: NoiseCovariance | None = None
    _looked_up: bool = False
    _told: set[str] = field(default_factory=set)

    def matched(self, names: Names | None, n_coils: int, context: Context) -> NoiseCovariance | None:
        """Noise covariance of the channels of an image at the scan's own bandwidth ratio; None where none fits."""
        if not self._looked_up:
            self._look_up(context)
        noise = self._noise
        if noise is None:
            return None
        try:
            return noise.with_channels(matched_channels(noise.coil_names, noise.n_coils, names, n_coils))
        except ScanError as error:
            self.missing = f"the noise measurement {noise.origin.measurement_id!r} does not fit the coils of this scan"
            if str(error) not in self._told:
                self._told.add(str(error))
                context.log.problem(log, f"{self.missing}: {error}")
            return None

    def _look_up(self, context: Context) -> None:
        self._looked_up = True
        ids = noise_dependencies(context.header)
        if not ids:
            return
        found = [] if context.noise_store is None else [context.noise_store.read(name) for name in ids]
        noise = next((one for one in found if one is not None), None)
        if noise is None:
            where = (
                "no noise store is configured (--noise-store)" if context.noise_store is None else "it is not stored"
            )
            self.missing = f"the noise measurement {ids[0]!r} that this scan depends on is missing: {where}"
            return
        factor = receiver_factor(noise.origin.bandwidth_ratio, context.header) if noise.dwell_us > 0 else 1.0
        self._noise = replace(noise, covariance=noise.covariance * factor)


def keep(noise: NoiseCovariance, store: NoiseStore, context: Context) -> None:
    """Write a measurement of noise alone to the store; where that cannot be it is a problem of the scan."""
    name = noise.origin.measurement_id
    if not name or noise.fault:
        why = f"it {noise.fault}" if name else "its header has no measurementID"
        context.log.problem(log, f"the noise measurement cannot be stored: {why}")
        return
    try:
        store.write(noise)
    except (BadInputError, OSError, RuntimeError) as error:  # images do not need the store
        context.log.counts[NOISE_NOT_WRITTEN] += 1
        context.log.problem(log, f"the noise measurement {name!r} cannot be stored: {error}")
        return
    context.log.counts[NOISE_STORED] += 1
    log.info("noise measurement %r stored: %d coils, %d samples", name, noise.n_coils, noise.n_samples)
