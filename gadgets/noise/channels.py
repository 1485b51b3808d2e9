"""Channels of a noise scan, chosen and put in order by coil label."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from nilatron.gadgets.items import ScanError

Names: TypeAlias = tuple[str, ...]


def matched_channels(noise: Names | None, n_noise: int, image: Names | None, n_image: int) -> list[int]:
    """Indices of the noise scan's channels that belong to the channels of an image, in their order.

    Channels are matched by coil label where both sides have labels that differ, else by number.

    Parameters
    ----------
    noise, image
        Coil labels of the channels; None where they are not known.
    n_noise, n_image
        Number of channels.

    Raises
    ------
    ScanError
        When the noise scan lacks labels of the image, labels name more than one channel, or there are no labels and the
        numbers of channels differ.
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
    """Coil labels as the words of a message."""
    return ", ".join(map(repr, names))
