"""What FIRE's clients do otherwise: parameters as JSON, images as int16."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator

import ismrmrd
import numpy as np

from nilatron.gadgets.items import Context
from nilatron.gadgets.settings import SettingsError

log = logging.getLogger(__name__)

PROPERTIES = {"pixel_type": "int16", "image_scale": "10"}  # ten levels for one noise standard deviation
OWN_PARAMETERS = ("config", "customconfig", "sendoriginal", "options")  # lower case; the first two choose the chain
MAX_PARAMETERS = 64


def fire_parameters(text: bytes) -> dict[str, str]:
    """Parameters of FIRE's JSON, as texts; those that are lists, objects or null are no properties, and are left out.

    Raises
    ------
    SettingsError
        When it is no JSON object.
    """
    try:
        document = json.loads(text)
        parameters = document.get("parameters", {}) if isinstance(document, dict) else None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the parameters are not JSON: {error}") from None
    if not isinstance(parameters, dict) or len(parameters) > MAX_PARAMETERS:
        raise SettingsError(f'expected JSON with at most {MAX_PARAMETERS} "parameters", got {text[:60]!r}')
    texts = {}
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            log.warning("parameter %.40r is left out: it is neither text, number nor boolean", name)
            continue
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def with_int16_pixels(images: Iterable[ismrmrd.Image], context: Context) -> Iterator[ismrmrd.Image]:
    """Images of a chain that ends in other gadgets, magnitudes rounded to int16; what is too large is clipped and told."""
    top = np.iinfo(np.int16).max
    for image in images:
        if image.data.dtype == np.int16:
            yield image
            continue
        pixels = np.rint(np.abs(image.data))
        if n_saturated := int(np.count_nonzero(pixels > top)):
            context.log.problem(log, f"{n_saturated} pixels are too large for int16: lower the scale of the chain")
        converted = ismrmrd.Image.from_array(np.clip(pixels, 0, top).astype(np.int16), transpose=False)
        head = image.getHead()
        head.data_type = converted.data_type
        converted.setHead(head)
        converted.attribute_string = image.attribute_string
        yield converted
