"""Channels of a noise scan, chosen and put in order by coil label."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from nilatron.gadgets.items import ScanError

Names: TypeAlias = tuple[str, ...]


def matched_channels(noise: Names | None, n_noise: int, image: Names | None, n_image: int) -> list[int]:
    """For each channel of an image its channel in the noise scan.

    By label where both sides have labels; else, or where the labels are the same, by number.

    Parameters
    ----------
    noise, image
        Labels of the channels; None where they are not known.
    n_noise, n_image
        Numbers of channels.

    Raises
    ------
    ScanError
        For labels that the noise scan lacks or that name two channels, or, without labels, other numbers of channels.
    """
    if noise is None or image is None or noise == image:
        if n_noise != n_image:
            raise ScanError(
                f"the noise scan has {n_noise} channels and the image lines {n_image}: they must match, or have coil "
                "labels; remove the noise lines to have the noise measured from the image"
            )
        return list(range(n_image))
    there, wanted = Counter(noise), Counter(image)
    repeated = [name for name in wanted if wanted[name] > 1 or there[name] > 1]
    if repeated:
        raise ScanError(
            f"coil labels that name more than one channel, of the noise scan or of the image: {words(repeated)}"
        )
    missing = [name for name in wanted if not there[name]]
    if missing:
        raise ScanError(
            f"the noise scan has no channels for the coils {words(missing)}; it has {n_noise}, {words(list(noise))}, and the "
            f"image lines {n_image}"
        )
    return [noise.index(name) for name in image]


def words(names: list[str]) -> str:
    """Labels for a message."""
    return ", ".join(map(repr, names))
