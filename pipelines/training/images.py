"""Training images from files, at image scale 1.

PNG, NIfTI, npy, HDF5 in the layout of fastMRI, and ISMRMRD images. Each format's package is imported when its first file
is met; ISMRMRD files are read by h5py alone, so that training runs where ismrmrd is not installed. A volume is held
at most as it is stored; its slices are converted one at a time.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import logging
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nilatron.core.backend import percentile
from nilatron.core.errors import BadInputError
from nilatron.core.prior.volumes import Place
from nilatron.core.scale import SCALE_PERCENT
from nilatron.pipelines.files.sizes import MOST_PIXELS, most_unpacked

log = logging.getLogger(__name__)

MIN_BRIGHTNESS = (
    0.05  # of the brightest slice of its stack: below it a slice is air, and scaling would make an image of its noise
)
MAX_NEGATIVE = 0.1  # of the file's largest value: resampling leaves less below zero, signed images more
HDF5_IMAGES = ("reconstruction_rss", "reconstruction_esc", "image")
ISMRMRD_IMAGE_TYPES = (0, 1, 5)  # not stated, magnitude, complex; 2 to 4 are phase, real and imaginary part
UNCERTAINTY_SERIES = (101, 102)
MOST_VOLUME_BYTES = 1 << 29  # of one ISMRMRD image
MALFORMED = (  # what nibabel raises on a damaged file
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    MemoryError,
    zlib.error,
    struct.error,
)

AnyArray = npt.NDArray[Any]
Stack = Iterable[AnyArray]  # slices of one volume or series
Reader = Callable[[Path, int | None], Iterator[Stack]]


class TrainingImagesError(BadInputError):
    """Training images that are not there or cannot be used."""


def load_images(paths: Sequence[Path], slice_axis: int | None = None) -> list[Tensor]:
    """The images of `load_volumes`, without their places."""
    return load_volumes(paths, slice_axis)[0]


def load_volumes(paths: Sequence[Path], slice_axis: int | None = None) -> tuple[list[Tensor], list[Place]]:
    """All slices of the files, and of the files below the folders, in `paths`, and their places in their volumes.

    Magnitude images become float16 (y, x), complex ones complex64 (y, x), divided by their image scale. Empty slices are
    left out: without signal, or darker than 5 % of the brightest of their volume or series. Anisotropic slices keep their
    pixels: augmentation resamples anyway. The slices of a stack are a volume; so are pictures of a folder whose names differ
    in a number at the end alone.

    Parameters
    ----------
    paths
        Files, or folders to search through; in folders, files of other kinds are passed over.
    slice_axis
        Of NIfTI volumes, 0 to 2; by default across the plane of the finest resolution.

    Raises
    ------
    TrainingImagesError
        When there is no image, or a file cannot be read, holds something else, or values that are not finite.
    """
    if slice_axis not in (None, 0, 1, 2):
        raise TrainingImagesError(f"the slice axis of NIfTI volumes must be 0, 1 or 2, got {slice_axis}")
    images: list[Tensor] = []
    places: list[Place] = []
    volumes: dict[str, int] = {}
    n_empty = 0
    for path in [file for given in paths for file in _files(given)]:
        for number, stack in enumerate(_reader(path)(path, slice_axis)):
            kept, n_left_out = _slices(stack, path)
            name, first = _volume_of(path, number)
            volume = volumes.setdefault(name, len(volumes))
            images += [image for image, _, _ in kept]
            places += [Place(volume, first + position, scale) for _, scale, position in kept]
            n_empty += n_left_out
    where = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    if not images:
        raise TrainingImagesError(f"no training images in {where}: {n_empty} empty slices, nothing else")
    log.info("%d training images from %s; %d empty slices left out", len(images), where, n_empty)
    return images, places


def _volume_of(path: Path, stack: int) -> tuple[str, int]:
    """Name of the volume of a stack, and the position of its first slice."""
    numbered = re.fullmatch(r"(.*?)(\d+)", path.stem) if path.suffix.lower() == ".png" else None
    return (f"{path.parent / numbered[1]}", int(numbered[2])) if numbered else (f"{path} {stack}", 0)


def fingerprint(images: Sequence[Tensor]) -> str:
    """SHA-256 over shapes, types and pixels, whatever the order of the images."""
    return hashlib.sha256(b"".join(sorted(_digest(image) for image in images))).hexdigest()


def _digest(image: Tensor) -> bytes:
    pixels = image.cpu().contiguous().numpy()
    return hashlib.sha256(f"{pixels.dtype.str} {pixels.shape} ".encode() + pixels.tobytes()).digest()


def _files(given: Path) -> list[Path]:
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise TrainingImagesError(f"{given}: no such file or folder")
    found = sorted(p for p in given.rglob("*") if p.is_file() and not p.name.startswith("."))
    usable = [path for path in found if _suffix(path)]
    if not usable:
        raise TrainingImagesError(f"{given}: no training images below this folder, which may be {KINDS}")
    if len(usable) < len(found):
        log.info("%s: %d files of other kinds passed over", given, len(found) - len(usable))
    return usable


def _slices(stack: Stack, path: Path) -> tuple[list[tuple[Tensor, float, int]], int]:
    """Slices of a stack that are not empty, at image scale 1, with scale and position, and the number of the others."""
    found: list[tuple[Tensor, float]] = []
    low = high = 0.0
    for pixels in stack:
        image = _as_tensor(pixels, path)
        magnitude = image.abs()
        peak = float(magnitude.max())
        if not image.is_complex():
            low, high = min(low, float(image.min())), max(high, peak)
            magnitude = image.clamp_min(0)
        scale = peak * percentile(magnitude / peak, SCALE_PERCENT) if peak else 0.0
        found.append((_at_scale_one(image, scale), scale) if scale > 1e-6 * peak else (torch.empty(0), 0.0))
    if low < -MAX_NEGATIVE * high:
        raise TrainingImagesError(f"{path}: a magnitude image has no values below zero, this goes from {low} to {high}")
    brightest = max((scale for _, scale in found), default=0.0)
    kept = [
        (image, scale, position) for position, (image, scale) in enumerate(found) if scale > MIN_BRIGHTNESS * brightest
    ]
    return kept, len(found) - len(kept)


def _as_tensor(pixels: AnyArray, path: Path) -> Tensor:
    if pixels.dtype.kind not in "uifc":
        raise TrainingImagesError(f"{path}: expected real or complex numbers, found {pixels.dtype}")
    kind = np.complex64 if pixels.dtype.kind == "c" else np.float32
    with np.errstate(over="ignore"):  # becomes infinite, which is refused below
        image = torch.from_numpy(np.array(pixels, kind))
    if not bool(torch.isfinite(torch.view_as_real(image) if image.is_complex() else image).all()):
        raise TrainingImagesError(f"{path}: holds values that are not finite; mask or repair them first")
    return image


def _at_scale_one(image: Tensor, scale: float) -> Tensor:
    if image.is_complex():
        return image / scale
    return (image / scale).clamp(0, torch.finfo(torch.float16).max).to(torch.float16)


def _package(name: str, remedy: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TrainingImagesError(f"{path}: reading it needs {name}; install it with: pip install {remedy}") from error


def _read_png(path: Path, _: int | None) -> Iterator[Stack]:
    from nilatron.pipelines.files.pictures import UNREADABLE, read_png

    try:
        pixels = read_png(path)
    except UNREADABLE as error:
        raise TrainingImagesError(f"{path}: is not a readable PNG picture ({error})") from error
    yield [pixels]


def _read_npy(path: Path, _: int | None) -> Iterator[Stack]:
    from nilatron.pipelines.files.pictures import UNREADABLE, read_npy

    try:
        stack = read_npy(path)
    except UNREADABLE as error:
        raise TrainingImagesError(f"{path}: is not a readable npy file of numbers ({error})") from error
    yield _planes(stack, path)


def _planes(stack: Any, path: Path) -> Iterator[AnyArray]:
    """Slices of an array or a HDF5 dataset, whose slices are read one at a time."""
    shape: tuple[int, ...] = stack.shape or ()
    if len(shape) not in (2, 3, 4):
        raise TrainingImagesError(f"{path}: expected (y, x), (slice, y, x) or (batch, slice, y, x), got shape {shape}")
    if 0 in shape:
        raise TrainingImagesError(f"{path}: an array of shape {shape} has nothing in it")
    if shape[-1] * shape[-2] > MOST_PIXELS:
        raise TrainingImagesError(f"{path}: slices of {shape[-2:]} pixels have more than {MOST_PIXELS}")
    if stack.dtype.hasobject:
        raise TrainingImagesError(f"{path}: expected real or complex numbers, found {stack.dtype}")
    for index in np.ndindex(shape[:-2]):
        try:
            plane = stack[index]
        except (OSError, RuntimeError) as error:  # of HDF5
            raise TrainingImagesError(f"{path}: slice {index} cannot be read, the file is damaged: {error}") from error
        yield plane


def _read_nifti(path: Path, slice_axis: int | None) -> Iterator[Stack]:
    nibabel = _package("nibabel", "'nilatron[train]'", path)
    own = (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.wrapstruct.WrapStructError,
    )
    try:
        file = _one_file_of_nifti(nibabel, path)
        stored = file.dataobj.get_unscaled()
        slope, intercept = np.float32(file.dataobj.slope), np.float32(file.dataobj.inter)
        spacing = file.header.get_zooms()
    except (*own, *MALFORMED) as error:
        raise TrainingImagesError(f"{path}: is not a readable NIfTI file ({error})") from error
    if stored.ndim < 2 or stored.size == 0:
        raise TrainingImagesError(f"{path}: expected a slice, a volume or several volumes, got shape {stored.shape}")
    if stored.dtype.kind not in "uifc":
        raise TrainingImagesError(f"{path}: expected real or complex numbers, found {stored.dtype}")
    volumes = stored.reshape(*stored.shape[:3], -1) if stored.ndim > 2 else stored[..., None, None]
    axis = _coarsest_axis(volumes.shape[:3], spacing) if slice_axis is None else slice_axis
    for volume in range(volumes.shape[3]):
        planes = np.moveaxis(volumes[..., volume], axis, 0)
        yield (plane.T * slope + intercept for plane in planes)  # stored with x first


def _one_file_of_nifti(nibabel: Any, path: Path) -> Any:
    """The image of a file that holds all of it, and can hold as much as it claims.

    `nibabel.load` would take other formats of this name, some of which are in two files or have XML inside.
    """
    is_packed = path.name.lower().endswith(".gz")
    with gzip.open(path) if is_packed else path.open("rb") as start:
        size = start.read(4)
    kind = nibabel.Nifti2Image if 540 in (int.from_bytes(size, order) for order in ("little", "big")) else None
    file = (kind or nibabel.Nifti1Image).from_filename(path)
    claimed = math.prod(map(int, file.dataobj.shape)) * file.dataobj.dtype.itemsize
    n_bytes = path.stat().st_size
    if claimed > (most_unpacked(n_bytes) if is_packed else n_bytes):
        raise ValueError(f"it claims {claimed} bytes of pixels in a file of {n_bytes}")
    return file


def _coarsest_axis(shape: tuple[int, ...], spacing: Sequence[float]) -> int:
    """The last of the axes with the largest voxels; an axis of one voxel in any case."""
    if 1 in shape:
        return 2 - shape[::-1].index(1)
    return max(range(3), key=lambda axis: (round(float(spacing[axis]), 3), axis))


def _read_hdf5(path: Path, _: int | None) -> Iterator[Stack]:
    h5py = _package("h5py", "h5py", path)
    reader = _package("nilatron.pipelines.files.hdf5.reader", "h5py", path)
    try:
        with reader.open_hdf5(path) as file:
            name = next((name for name in HDF5_IMAGES if isinstance(file.get(name), h5py.Dataset)), None)
            if name:
                yield _planes(file[name], path)
            else:
                yield from _ismrmrd_series(file, h5py, path)
    except TrainingImagesError:
        raise
    except reader.DAMAGED as error:
        why = str(error).removeprefix(f"{path}: ")
        raise TrainingImagesError(f"{path}: is not a readable HDF5 file ({why})") from error


def _ismrmrd_series(file: Any, h5py: Any, path: Path) -> Iterator[Stack]:
    """Every channel and partition of the magnitude and complex images, all series but maps of the uncertainty."""
    series: list[Any] = []
    file.visititems(lambda _, item: series.append(item) if _holds_images(item, h5py) else None)
    if not series:
        raise TrainingImagesError(
            f"{path}: holds no images; expected a dataset {', '.join(HDF5_IMAGES)}, or ISMRMRD images"
        )
    for group in series:
        if group["data"].nbytes // max(len(group["data"]), 1) > MOST_VOLUME_BYTES:
            raise TrainingImagesError(f"{path}: an image of {group.name} has more than {MOST_VOLUME_BYTES} bytes")
        header = group["header"][:]
        wanted = np.isin(header["image_type"], ISMRMRD_IMAGE_TYPES)
        wanted &= ~np.isin(header["image_series_index"], UNCERTAINTY_SERIES)
        yield (plane for n in np.flatnonzero(wanted) for plane in _planes(_as_complex(group["data"][n]), path))


def _holds_images(item: Any, h5py: Any) -> bool:
    if not isinstance(item, h5py.Group) or not {"header", "data"} <= set(item):
        return False
    if not all(isinstance(item[name], h5py.Dataset) and item[name].shape for name in ("header", "data")):
        return False
    names = item["header"].dtype.names or ()
    return {"image_type", "image_series_index"} <= set(names) and len(item["header"]) == len(item["data"])


def _as_complex(pixels: AnyArray) -> AnyArray:
    if pixels.dtype.names is None:
        return pixels
    return pixels["real"] + 1j * pixels["imag"]


READERS: dict[str, Reader] = {
    ".png": _read_png,
    ".nii": _read_nifti,
    ".nii.gz": _read_nifti,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".mrd": _read_hdf5,
}
KINDS = ", ".join(f"*{suffix}" for suffix in READERS)


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)


def _reader(path: Path) -> Reader:
    suffix = _suffix(path)
    if suffix is None:
        raise TrainingImagesError(f"{path}: is not of a kind that can be read, which are {KINDS}")
    return READERS[suffix]
