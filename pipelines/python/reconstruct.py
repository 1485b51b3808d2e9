"""K-space as an array to images, by the same gadgets as lines from a scanner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt
from ismrmrd import xsd

from nilatron.core.backend import Array, to_numpy
from nilatron.core.kspace import calibration_block
from nilatron.core.prior.weights import find_weights
from nilatron.core.sense import with_empty_coils
from nilatron.gadgets import items
from nilatron.gadgets.known_noise import NoiseCovariance
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import OF_SLICES, build_node
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.plan.centre import centred
from nilatron.gadgets.settings import SettingsError, property_fields
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.python import arrays
from nilatron.pipelines.python.properties import Property, texts_of

SERIES = ("conventional", "nila")  # that a method with series of its own gives, beside what is asked for


@dataclass(frozen=True)
class Reconstruction:
    """Images of one slice or volume, or of each entry of a batch, in SNR units: noise of standard deviation 1 in k-space.

    Arrays belong to the library of the k-space and have its axes without the coils: (y, x), (z, y, x) or (batch, z, y, x).

    Attributes
    ----------
    images
        Complex images by role: "main", "conventional", and if they were asked for "mean", "map" and "sample"; real ones:
        "uncertainty" and "std".
    coil_maps
        Maps that were used, of the whitened (and, with `virtual_coils`, compressed) coils; with the axis of the coils, and one
        of the sets in front of it where there are two.
    sigma
        Complex standard deviation of the noise in the k-space that was given, as it was used; (batch,) for a batch.
    chi2
        |A x - y|^2 / (M sigma^2) of the image, about 1 where it explains the data down to their noise; (batch,) for a batch.
    provenance
        How the image was made, as in the metadata of a chain's images; of a batch, what its images have in common.
    notes
        What the image's reader should know.
    problems
        What makes the result doubtful or less than was asked for, as it was logged; empty where all went well.
    entries
        Of a batch, the reconstruction of each.
    """

    images: Mapping[str, Array]
    coil_maps: Array
    sigma: float | npt.NDArray[np.float64]
    chi2: float | npt.NDArray[np.float64]
    provenance: Mapping[str, str]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    entries: tuple[Reconstruction, ...] = ()

    @property
    def image(self) -> Array:
        """Complex image of the method."""
        return self.images["main"]

    @property
    def conventional(self) -> Array:
        """Complex CG-SENSE image; None where the method is a conventional one itself."""
        return self.images.get("conventional")

    @property
    def uncertainty(self) -> Array:
        """Standard deviation of the image, real; None where it was not asked for."""
        return self.images.get("uncertainty")


def reconstruct(
    kspace: Array,
    *,
    noise: Array | None = None,
    calibration: Array | None = None,
    counts: Array | None = None,
    coil_maps: Array | str | None = None,
    method: str = "nila",
    uncertainty: bool = False,
    weights: str = "default",
    seed: int = 0,
    device: str = "auto",
    **properties: Property,
) -> Reconstruction:
    """Image of undersampled Cartesian k-space.

    The k-space is whitened, checked, calibrated and reconstructed by the same gadgets that a chain runs on a scanner's lines,
    with the same settings: the image is that of `nilatron replay`.

    Parameters
    ----------
    kspace
        Complex (coil, y, x), (coil, z, y, x) or (batch, coil, z, y, x) of NumPy, CuPy or torch; the zero frequency at n // 2
        of each axis, without readout oversampling. What is 0 in all coils was not acquired, unless `counts` says so.
    noise
        Noise covariance (coil, coil) of a sample, or samples of noise alone (coil, ...); by default it is measured in the data.
    calibration
        Fully sampled block around the centre of k-space, with the axes of `kspace`; by default the one that it holds.
    counts
        How often each sample was acquired (`kspace` holds the mean), with the axes of `kspace` without the coils.
    coil_maps
        Maps with the shape of `kspace`; estimated by default. A word is the property of this name.
    method
        nila, nila_published, l1_wavelet, cg_sense or zero_filled.
    uncertainty
        Whether to compute the standard deviation of the image, too.
    weights
        Of the prior: default, tiny or the path of a file.
    seed
        Of all randomness.
    device
        auto (a GPU if there is one that can be used), cpu or cuda.
    **properties
        Properties of the method and of the gadgets before it, as in the XML of a chain, for example steps=12.

    Returns
    -------
    The images, with what is known about them.

    Raises
    ------
    ValueError
        For arrays, words or properties that cannot be used; the message says what was expected and what came.
    """
    texts = texts_of(properties | ({"coil_maps": coil_maps} if isinstance(coil_maps, str) else {}))
    texts |= _series(method, texts, uncertainty=uncertainty)
    node = build_node(method, texts, find_weights(weights), parts=OF_SLICES)
    kspaces = arrays.kspace_slices(kspace)
    given_maps = None if isinstance(coil_maps, str) else coil_maps
    parts = zip(
        kspaces,
        arrays.counts_slices(counts, kspace, kspaces),
        arrays.calibration_slices(calibration, kspace, len(kspaces)),
        arrays.map_slices(given_maps, kspace, len(kspaces)),
        strict=True,
    )
    known = arrays.noise_covariance_of(noise, kspaces[0].shape[0])
    on_gpu = device == "auto" and arrays.is_on_gpu(kspace)
    header = _header(len(kspaces), kspaces[0].shape[1:])
    context = items.Context(header, "cuda" if on_gpu else resolve_device(device), seed)
    slices = [_slice(place, *part, context) for place, part in enumerate(parts)]
    made: list[list[items.Reconstruction]] = [[] for _ in slices]
    for one in node.reconstructions(slices, context, Whitening(node.settings[NoiseSettings], known)):
        made[one.source.head.idx.slice].append(one)
    return _result(made, kspace, known, context.log)


def _series(method: str, texts: Mapping[str, str], *, uncertainty: bool) -> dict[str, str]:
    """The property `series`, where the method has it: what is always made, and what is asked for."""
    if method not in METHODS or "series" not in property_fields(METHODS[method].settings_class):
        if uncertainty and method in METHODS:
            raise SettingsError(f"method {method} has no uncertainty: use method nila")
        return {}
    asked = [word.strip() for word in texts.get("series", "").split(",") if word.strip()]
    return {"series": ",".join(dict.fromkeys([*SERIES, *["uncertainty"] * uncertainty, *asked]))}


def _header(n_slices: int, shape: tuple[int, ...]) -> xsd.ismrmrdHeader:
    """Header of slices with k-space of `shape` (z, y, x), whose pixels have a size of 1: arrays do not tell it."""
    z, y, x = shape
    size, fov = xsd.matrixSizeType(x=x, y=y, z=z), xsd.fieldOfViewMm(x=float(x), y=float(y), z=float(z))
    space = xsd.encodingSpaceType(matrixSize=size, fieldOfView_mm=fov)
    limits = xsd.encodingLimitsType(slice=xsd.limitType(minimum=0, maximum=n_slices - 1, center=0))
    encoding = xsd.encodingType(
        encodedSpace=space, reconSpace=space, encodingLimits=limits, trajectory=xsd.trajectoryType.CARTESIAN
    )
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=0)
    return xsd.ismrmrdHeader(experimentalConditions=conditions, encoding=[encoding])


def _slice(
    place: int,
    kspace: npt.NDArray[np.complex64],
    counts: npt.NDArray[np.float32],
    calibration: npt.NDArray[np.complex64] | None,
    coil_maps: npt.NDArray[np.complex64] | None,
    context: items.Context,
) -> items.KSpaceSlice:
    """A slice as the gadgets have it, with the centre of k-space and the calibration block found as for lines."""
    head = ismrmrd.AcquisitionHeader()
    head.idx.slice = place
    kspace, counts, note = centred(kspace * (counts > 0), counts, f"slice {place}", context.log)
    block = calibration_block(kspace, counts) if calibration is None else calibration
    item = items.KSpaceSlice(kspace, counts, block, head, context.header.encoding[0], coil_maps=coil_maps)
    return item.with_note(note) if note else item


def _result(
    made: Sequence[Sequence[items.Reconstruction]],
    kspace: Array,
    known: NoiseCovariance | None,
    scan_log: items.ScanLog,
) -> Reconstruction:
    """What came of all slices; of a batch with the reconstruction of each entry."""
    by_role = [{one.role: one for one in images} for images in made]
    mains = [images["main"] for images in by_role]
    roles = sorted(set.intersection(*(set(images) for images in by_role)))
    stacked: dict[str, npt.NDArray[Any]] = {role: np.stack([one[role].image for one in by_role]) for role in roles}
    for role in set(roles).intersection(items.UNCERTAINTY_ROLES):
        stacked[role] = stacked[role].real
    sigma = np.array([_sigma(one.source, known) for one in mains])
    chi2 = np.array([float(one.provenance["chi2"]) for one in mains])
    is_batch = len(kspace.shape) == 5
    return Reconstruction(
        images={role: arrays.like(images, kspace) for role, images in stacked.items()},
        coil_maps=arrays.like(_stacked_maps([to_numpy(one.source.coil_maps) for one in mains]), kspace),
        sigma=sigma if is_batch else float(sigma[0]),
        chi2=chi2 if is_batch else float(chi2[0]),
        provenance=_common([one.provenance for one in mains]),
        notes=tuple(dict.fromkeys(note for one in mains for note in one.source.notes)),
        problems=tuple(scan_log.problems),
        entries=tuple(_result([one], kspace[n], known, items.ScanLog()) for n, one in enumerate(made))
        if is_batch
        else (),
    )


def _common(provenances: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all slices have in common, in the order of the first."""
    first, *others = provenances
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _stacked_maps(maps: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Maps (slice, coil, z, y, x), or (slice, set, coil, z, y, x) where a slice has several sets; 0 where it has fewer."""
    n_coils, n_sets = (max(one.shape[-4] for one in maps), max(one.shape[0] if one.ndim > 4 else 1 for one in maps))
    filled = [with_empty_coils(one, n_coils) for one in maps]
    if n_sets > 1:
        filled = [one if one.ndim > 4 else np.stack([one, *[0 * one] * (n_sets - 1)]) for one in filled]
    return np.stack(filled)


def _sigma(item: items.KSpaceSlice, known: NoiseCovariance | None) -> float:
    """Complex standard deviation of the noise in the k-space as it was given, 0 where that is not known."""
    report = item.noise
    if report is None:
        return 0.0
    return report.sigma_used * (arrays.rms(known) if known is not None else 1.0)
