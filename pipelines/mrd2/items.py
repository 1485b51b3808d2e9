"""Items of a stream between MRD v2 and v1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import ismrmrd
import numpy as np

from nilatron.pipelines.mrd2.buffers import (
    bucket_of,
    bucket_record,
    image_array_of,
    image_array_record,
    recon_data_of,
    recon_data_record,
)
from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.images import IMAGE_TAGS, image_of, image_record
from nilatron.pipelines.mrd2.lines import line_of, line_record, waveform_of, waveform_record
from nilatron.pipelines.wire.errors import MalformedError, UnsendableError, WireError
from nilatron.pipelines.wire.messages import ImageArray

_READERS: dict[str, Callable[[Any], Any]] = {
    "acquisition": line_of,
    "waveformuint32": waveform_of,
    "acquisitionbucket": bucket_of,
    "recondata": recon_data_of,
    "imagearray": image_array_of,
    **dict.fromkeys(IMAGE_TAGS, image_of),
}
PHASES = "lines with a phase of each sample, which is not applied"


def v1_item(item: Tagged, left_out: Counter[str]) -> Any:
    """The item of v1, or None, and a count, for a kind that v1 has not: Pulseq events, prototypes, plain arrays.

    Raises
    ------
    MalformedError, UnsupportedError
        When it contradicts itself, or v1 has no room for it.
    """
    reader = _READERS.get(item.tag.lower())
    if reader is None:
        left_out[f"{item.tag} items, which MRD v1 has not"] += 1
        return None
    try:
        made = reader(item.value)
    except WireError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MalformedError(f"a {item.tag} that cannot be understood: {type(error).__name__}: {error}") from error
    if item.tag.lower() == "acquisition" and item.value.get("phase") is not None and np.any(item.value["phase"]):
        left_out[PHASES] += 1
    return made


def v2_item(item: Any) -> Tagged:
    """The item of v2.

    Raises
    ------
    UnsendableError
        When v2 has no such kind.
    """
    if isinstance(item, ismrmrd.Acquisition):
        return Tagged("acquisition", line_record(item))
    if isinstance(item, ismrmrd.Waveform):
        return Tagged("waveformUint32", waveform_record(item))
    if isinstance(item, ismrmrd.Image):
        return image_record(item)
    if isinstance(item, ImageArray):
        return Tagged("imageArray", image_array_record(item))
    if hasattr(item, "bits"):
        return Tagged("reconData", recon_data_record(item))
    if hasattr(item, "datastats"):
        return Tagged("acquisitionBucket", bucket_record(item))
    raise UnsendableError(f"MRD v2 has no {type(item).__name__}")
