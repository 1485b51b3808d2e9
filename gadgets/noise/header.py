"""What an ISMRMRD header says about noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nilatron.core.noise import DEFAULT_BANDWIDTH_RATIO

GADGETRON_PREFIX = "GadgetronNoiseCovarianceMatrix_"  # of Gadgetron's files, default of noise_dependency_prefix
MASK_BITS = 64


def stated_bandwidth_ratio(header: Any) -> float | None:
    """relativeReceiverNoiseBandwidth; None where there is none that can be."""
    value = getattr(header.acquisitionSystemInformation, "relativeReceiverNoiseBandwidth", None)
    return float(value) if value and value > 0 else None


def bandwidth_ratio(header: Any) -> float:
    """relativeReceiverNoiseBandwidth, or Gadgetron's default."""
    return stated_bandwidth_ratio(header) or DEFAULT_BANDWIDTH_RATIO


def measurement_id(header: Any) -> str:
    """measurementID; empty where there is none."""
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
    """Labels of the channels of a line, in their order; None where the header does not tell them.

    coilNumber counts the channels. A header with more labels than the line has channels is understood where the line's
    channel mask has one bit for each channel.
    """
    labels = getattr(header.acquisitionSystemInformation, "coilLabel", None) or ()
    pairs = [(label.coilNumber, str(label.coilName or "").strip()) for label in labels]
    by_number = {int(number): name for number, name in pairs if number is not None}
    if len(by_number) < len(pairs):  # numbers that are missing or the same: the order in the header is all there is
        by_number = {place: name for place, (_, name) in enumerate(pairs)}
    if by_number and len(by_number) == n_channels:
        return tuple(by_number[number] for number in sorted(by_number))
    active = _set_bits(channel_mask)
    if by_number and len(active) == n_channels and all(number in by_number for number in active):
        return tuple(by_number[number] for number in active)
    return None


def _set_bits(mask: Sequence[int]) -> list[int]:
    words = [int(word) for word in mask]
    return [MASK_BITS * place + bit for place, word in enumerate(words) for bit in range(MASK_BITS) if word >> bit & 1]


def receiver_factor(own_ratio: float | None, header: Any) -> float:
    """Factor on the variance of another measurement's noise, so that the bandwidth ratio of `header` suits it, too.

    Noise counts as variance / ratio; `own_ratio` is that of its own header, None where that has none.
    """
    ratio = bandwidth_ratio(header)
    return ratio / (own_ratio or ratio)
