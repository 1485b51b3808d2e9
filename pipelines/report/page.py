"""The page of a scan: warnings on top, a montage, numbers, and each slice with its images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from nilatron import __version__
from nilatron.core.words import counted, shown
from nilatron.gadgets.images import SERIES_INDEX
from nilatron.gadgets.items import UNCERTAINTY_ROLES
from nilatron.pipelines.files.atomic import atomic_path
from nilatron.pipelines.files.images import white_of
from nilatron.pipelines.files.outlined import count, spots_of, standard_deviations, with_outlines
from nilatron.pipelines.files.roles import COMPARED
from nilatron.pipelines.report import pictures
from nilatron.pipelines.report.slices import ImageGroup, SliceImages

MOST_SLICES = 40  # with large pictures; a page of more is slow to open
MOST_THUMBNAILS = 400
THUMBNAIL = 96  # pixels
NAMES = {"main": "Reconstruction", "conventional": "Conventional (CG-SENSE)"}
NUMBERS = ("chi2", "unexplained", "sigma_used", "sigma_measured", "acceleration")


@dataclass(frozen=True)
class ScanFacts:
    """What a page says about a scan as a whole.

    Attributes
    ----------
    title
        Name of the raw file.
    facts
        Name to value, in the order of the page.
    warnings
        What the reader has to know first.
    seconds
        When each image came, in seconds from the start, by series and number within the series.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    seconds: Mapping[tuple[int, int], float] = field(default_factory=dict)


def write_page(path: Path, images: Path, group: str, scan: ScanFacts) -> None:
    """Write the page of a group of an image file.

    Raises
    ------
    InputError
        When the file has no such group.
    OutputError
        When the page cannot be written.
    """
    with ImageGroup(images, group) as found:
        text = page(found, scan)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(images: ImageGroup, scan: ScanFacts) -> str:
    """The page as HTML; whatever files and headers say is text in it, never markup."""
    slices = images.slices()
    large = set(evenly(len(slices), MOST_SLICES))
    small = evenly(len(slices), MOST_THUMBNAILS)
    thumbnails = []
    for number in small:
        pixels = _plane(images, slices[number], _first_role(slices[number]))
        uri = pictures.thumbnail(pixels, white_of(pixels), THUMBNAIL)
        thumbnails.append({"uri": uri, "label": slices[number].label, "link": number if number in large else None})
    environment = Environment(
        finalize=_as_shown, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        scan=scan,
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        colour_bar=pictures.colour_bar(),
        thumbnails=thumbnails,
        n_slices=len(slices),
        rows=[_row(number, one, scan, number in large) for number, one in enumerate(slices)],
        slices=[_slice(images, number, slices[number]) for number in sorted(large)],
        columns=[name.replace("_", " ") for name in NUMBERS],
    )


def _as_shown(value: object) -> object:
    """A text of the page in which nothing can turn or hide what stands beside it."""
    return shown(value) if type(value) is str else value


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the numbers below n, evenly spread."""
    return list(range(n)) if n <= most else [round(k * (n - 1) / (most - 1)) for k in range(most)]


def _row(number: int, one: SliceImages, scan: ScanFacts, is_large: bool) -> dict[str, object]:
    role = _first_role(one)
    times = [scan.seconds.get((SERIES_INDEX[name], place.number)) for name, place in one.places.items()]
    known = [time for time in times if time is not None]
    return {
        "number": number if is_large else None,
        "label": one.label,
        "values": [one.fact(name, role) for name in NUMBERS],
        "seconds": f"{max(known):.1f}" if known else "",
        "remarks": one.remarks,
    }


def _slice(images: ImageGroup, number: int, one: SliceImages) -> dict[str, object]:
    planes = {role: _plane(images, one, role) for role in one.places}
    white = white_of(planes[_first_role(one)])
    figures: list[dict[str, object]] = [
        {
            "uri": pictures.grey(planes[role], white),
            "words": _title(one, role),
            "bar": None,
            "limits": f"0 to {white:.3g} SNR",
        }
        for role in ("conventional", "main", "mean", "map", "sample")
        if role in planes
    ]
    for role in (role for role in UNCERTAINTY_ROLES if role in planes):
        most = white_of(planes[role])
        predicted = one.metadata[role].get("nilatron_uncertainty_from") == "prediction"
        words = f"Uncertainty: {'predicted error' if predicted else 'posterior standard deviation'}, SNR units"
        bar = ["0", f"{most / 2:.2g}", f"{most:.2g}"]
        figures.append({"uri": pictures.coloured(planes[role], most), "words": words, "bar": bar, "limits": ""})
    if planes.keys() >= set(COMPARED) and len({planes[role].shape for role in COMPARED}) == 1:
        figures.append(_outlined(planes, standard_deviations(one.metadata["uncertainty"])))
    if {"main", "conventional"} <= planes.keys() and planes["main"].shape == planes["conventional"].shape:
        uri = pictures.difference(planes["main"], planes["conventional"], white)
        words = f"Difference x {pictures.DIFFERENCE_GAIN}: reconstruction - conventional"
        figures.append({"uri": uri, "words": words, "bar": None, "limits": "grey is zero"})
    provenance = {
        name.removeprefix("nilatron_").replace("_", " "): value
        if isinstance(value, str)
        else "; ".join(map(str, value))
        for name, value in sorted(one.metadata[_first_role(one)].items())
        if name.startswith("nilatron_")
    }
    planes_of = images.pixels(one, _first_role(one)).shape[0]
    return {
        "number": number,
        "label": one.label + (f", plane {planes_of // 2} of {planes_of}" if planes_of > 1 else ""),
        "figures": figures,
        "remarks": one.remarks,
        "numbers": [(name.replace("_", " "), one.fact(name, _first_role(one))) for name in NUMBERS],
        "provenance": provenance,
    }


def _outlined(planes: Mapping[str, pictures.Pixels], n_deviations: float) -> dict[str, object]:
    main, conventional, deviation = (planes[role][None] for role in COMPARED)
    spots = spots_of(main, conventional, n_deviations * deviation)
    found = counted(count(spots), "spot")
    return {
        "uri": pictures.uri(with_outlines(main, spots)[0]),
        "words": f"Outlined: {found} that neither the conventional image nor the error interval supports",
        "bar": None,
        "limits": "may be there all the same",
    }


def _title(one: SliceImages, role: str) -> str:
    described = one.metadata[role].get("SeriesDescription", NAMES.get(role, role))
    return described if isinstance(described, str) else str(described[0])


def _first_role(one: SliceImages) -> str:
    return next(role for role in SERIES_INDEX if role in one.places)


def _plane(images: ImageGroup, one: SliceImages, role: str) -> pictures.Pixels:
    """The middle plane (y, x)."""
    volume = images.pixels(one, role)
    return np.ascontiguousarray(volume[volume.shape[0] // 2])
