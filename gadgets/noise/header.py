"""What an ISMRMRD header says about noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nilatron.core.noise import DEFAULT_BANDWIDTH_RATIO

GADGETRON_PREFIX = "GadgetronNoiseCovarianceMatrix_"  # of Gadgetron's files, default of noise_dependency_prefix
MASK_BITS = 64


def stated_bandwidth_ratio(header: Any) -> float | None:
    """Bandwidth ratio of the header, relativeReceiverNoiseBandwidth; None where it is missing or not positive."""
    value = getattr(header.acquisitionSystemInformation, "relativeReceiverNoiseBandwidth", None)
    return float(value) if value and value > 0 else None


def bandwidth_ratio(header: Any) -> float:
    """Bandwidth ratio of the header, or Gadgetron's default."""
    return stated_bandwidth_ratio(header) or DEFAULT_BANDWIDTH_RATIO


def measurement_id(header: Any) -> str:
    """Id of the measurement that the header describes; empty where it is missing."""
    return str(getattr(header.measurementInformation, "measurementID", None) or "").strip()


def noise_dependencies(header: Any) -> tuple[str, ...]:
    """Ids of the noise measurements that a scan depends on, the likeliest first; empty where it depends on none.

    As in Gadgetron, an id without underscore may lack the part that it has in common with the scan's own id (36_74_5 depends
    on 2: 36_74_2), and a later dependency goes before an earlier one.
    """
    own = measurement_id(header)
    found: list[str] = []
    for dependency in getattr(header.measurementInformation, "measurementDependency", None) or ():
        if not str(dependency.dependencyType or "").strip().lower().startswith("noise"):
            continue
        named = str(dependency.measurementID or "").strip().removeprefix(GADGETRON_PREFIX)
        completed = [f"{own.rpartition('_')[0]}_{named}"] if "_" in own and "_" not in named else []
        found[:0] = [name for name in (named, *completed) if named]
    return tuple(dict.fromkeys(found))


def coil_names(header: Any, n_channels: int, channel_mask: Sequence[int] = ()) -> tuple[str, ...] | None:
    """Coil labels of the channels of a line, in their order; None where the header does not tell them.

    coilNumber is the number of the channel, counted from 0 or 1. Where the header has more labels than the line has channels,
    the line's channel mask tells which of them are its own, if it has one bit for each channel.
    """
    labels = getattr(header.acquisitionSystemInformation, "coilLabel", None) or ()
    pairs = [(label.coilNumber, str(label.coilName or "").strip()) for label in labels]
    by_number = {int(number): name for number, name in pairs if number is not None}
    if len(by_number) < len(pairs):  # numbers that are missing or the same: the order in the header is all there is
        by_number = {place: name for place, (_, name) in enumerate(pairs)}
    elif set(by_number) == set(range(1, len(pairs) + 1)):
        by_number = {number - 1: name for number, name in by_number.items()}
    if by_number and len(by_number) == n_channels:
        return tuple(by_number[number] for number in sorted(by_number))
    active = _set_bits(channel_mask)
    if by_number and len(active) == n_channels and all(number in by_number for number in active):
        return tuple(by_number[number] for number in active)
    return None


def receiver_factor(own_ratio: float | None, header: Any) -> float:
    """Factor on the variance of another measurement's noise, so that it may be used with the bandwidth ratio of `header`.

    Noise is used as variance / ratio. `own_ratio` is that of the measurement's own header, None where that tells none.
    """
    ratio = bandwidth_ratio(header)
    return ratio / (own_ratio or ratio)


def _set_bits(mask: Sequence[int]) -> list[int]:
    words = [int(word) for word in mask]
    return [MASK_BITS * place + bit for place, word in enumerate(words) for bit in range(MASK_BITS) if word >> bit & 1]
