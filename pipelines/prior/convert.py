"""Conversion of a denoiser trained elsewhere to a weights or ONNX file: read, check on images, write, compare."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from nilatron.core.phantom import phantom
from nilatron.core.prior.conventions import EDM
from nilatron.core.prior.conversion_check import SIGMAS, CheckResult, check_denoiser
from nilatron.core.prior.edm import ChannelDenoiser, EDMDenoiser, denoise_complex
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser
from nilatron.core.prior.engines.onnx.file import OnnxFacts, pack_onnx, parse_onnx
from nilatron.core.prior.evaluate import CleanAndNoise, draw_clean_and_noise
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits, to_edm_denoiser
from nilatron.core.prior.foreign_onnx import ForeignNetworkError, export_denoiser, wrap_network
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.core.scale import image_scale
from nilatron.pipelines.files.atomic import atomic_path
from nilatron.pipelines.files.disk import tensors_written
from nilatron.pipelines.prior.convert_settings import ConversionError, ForeignUnitSettings
from nilatron.pipelines.prior.convert_source import Source, SourceSettings, read_source
from nilatron.pipelines.training.images import load_images

log = logging.getLogger(__name__)

KINDS = (".safetensors", ".onnx")
AGREEMENT = 1e-3  # largest difference of the written file from the checked network, relative to the noise
PHANTOM_SIDE, PHANTOM_SLICES = 128, (0.0, 0.25, -0.25)


@dataclass(frozen=True)
class ConvertSettings:
    """Settings of one conversion.

    Attributes
    ----------
    source, unit_settings
        The network and its units.
    output
        File to write, .safetensors (our own U-Net, raw EDM) or .onnx.
    licence, data, origin
        Metadata of the weights: their licence, the training data, and who trained them.
    images
        Image files or folders for the check; by default an analytic head.
    limit
        Largest number of images in the check, evenly spread.
    seed
        Seed of phases and noise.
    overwrite
        Replace the output if it exists.
    """

    source: SourceSettings
    unit_settings: ForeignUnitSettings
    output: Path
    licence: str
    data: str = "not stated"
    origin: str = "not stated"
    images: tuple[Path, ...] = ()
    limit: int = 8
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse an output that cannot be written, before anything is computed."""
        if self.output.suffix not in KINDS:
            raise ConversionError(f"{self.output}: the output ends in {' or '.join(KINDS)}")
        if self.output.exists() and not self.overwrite:
            raise ConversionError(f"{self.output} exists: give another name, or --overwrite")
        if not self.output.parent.is_dir():
            raise ConversionError(f"{self.output}: the folder {self.output.parent} does not exist")
        if not self.licence.strip():
            raise ConversionError("state the licence under which the weights may be used (--licence)")
        if self.limit < 1:
            raise ConversionError(f"at least one image is needed for the check, got a limit of {self.limit}")


def convert(settings: ConvertSettings, show: Callable[[str], None] = lambda _: None) -> CheckResult:
    """Convert a network and return the result of its check; nothing is written if a step fails.

    `show` gets the table of errors before the check is decided.

    Raises
    ------
    ConversionError
        When the network cannot be read, fails the check, or cannot be written.
    """
    units = settings.unit_settings.units()
    source = read_source(settings.source)
    images = check_images(settings)
    sigma_data = _sigma_data(units, images, settings.seed)
    denoiser = ForeignDenoiser(source.network, units, sigma_data)
    _probe(denoiser)
    ours = _our_weights(settings, source, units) if settings.output.suffix == ".safetensors" else None
    result = check_denoiser(
        lambda other: ForeignDenoiser(source.network, other, sigma_data), units, images, seed=settings.seed
    )
    show(result.markdown())
    if warning := result.warning():
        log.warning("%s", warning)
    failure = result.failure()
    if failure:
        raise ConversionError(f"{settings.output} is not written: {failure}")
    metadata = _metadata(settings, source, result)
    pair = draw_clean_and_noise(images[0], settings.seed)
    with atomic_path(settings.output) as path:
        written = _write_weights(path, ours, metadata) if ours else _write_onnx(path, denoiser, source, metadata)
        _compare(written, denoiser, pair)
    return result


def check_images(settings: ConvertSettings) -> list[Tensor]:
    """Images of image scale 1 for the check: those of the settings, or slices of an analytic head."""
    if settings.images:
        found = load_images(list(settings.images))
        n = min(settings.limit, len(found))
        return [found[i * len(found) // n] for i in range(n)]
    shape = (1, PHANTOM_SIDE, PHANTOM_SIDE)
    heads = [torch.from_numpy(phantom(shape, centre=(z, 0.0, 0.0))[0]) for z in PHANTOM_SLICES]
    return [head / image_scale(head) for head in heads]


def _sigma_data(units: ForeignUnits, images: Sequence[Tensor], seed: int) -> float:
    """sigma_data in our units: that of the network, or of the images if the convention has none."""
    if isinstance(units.convention, EDM) and units.convention.predicts == "raw":
        return units.convention.sigma_data / units.noise_factor
    power = [float(draw_clean_and_noise(image, seed)[0].abs().square().mean()) / 2 for image in images]
    return math.sqrt(math.fsum(power) / len(power))


@torch.inference_mode()
def _probe(denoiser: ForeignDenoiser) -> None:
    """Check that the network accepts inputs and returns outputs of the shapes that the units state."""
    units = denoiser.units
    x, s = torch.zeros(2, 2, 4 * units.multiple, 5 * units.multiple), torch.full((2,), 0.1)
    u, time = denoiser.prepare(x, s)
    try:
        found = denoiser.network(u, time)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ConversionError(
            f"the network cannot be called with an image {tuple(u.shape)} and a time {tuple(time.shape)} of {time.dtype}: "
            f"{error}. Look at --channels, --time and --multiple"
        ) from error
    expected = [(u.shape[0], n * u.shape[1], *u.shape[2:]) for n in (1, 2)]
    if not isinstance(found, Tensor) or tuple(found.shape) not in expected:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConversionError(
            f"the network has to return a tensor {expected[0]}, or of twice the channels; got {shape}"
        )


def _our_weights(settings: ConvertSettings, source: Source, units: ForeignUnits) -> EDMDenoiser:
    if source.unet_state is None:
        raise ConversionError("only our own U-Net has weights in our format; write ONNX instead (-o NAME.onnx)")
    try:
        return to_edm_denoiser(source.unet_state, ARCHITECTURES[str(settings.source.architecture)], units)
    except ValueError as error:
        raise ConversionError(str(error)) from error


def _metadata(settings: ConvertSettings, source: Source, result: CheckResult) -> dict[str, str]:
    units = {name: value for name, value in asdict(settings.unit_settings).items() if value is not None}
    if settings.unit_settings.schedule is not None:
        units["schedule"] = Path(settings.unit_settings.schedule).name
    return {
        "licence": settings.licence,
        "data": settings.data,
        "origin": settings.origin,
        "converted_from": json.dumps(units),
        "converted_from_sha256": source.sha256,
        "scale_convention": "99.5th percentile of the image magnitude is 1",
        "checked_on": ", ".join(path.name for path in settings.images) or "analytic head",
        "rmse": json.dumps({f"{at.sigma:g}": round(at.denoised, 5) for at in result.levels}),
    }


def _write_weights(path: Path, denoiser: EDMDenoiser, metadata: dict[str, str]) -> ChannelDenoiser:
    with tensors_written(path):
        save_prior(path, denoiser, metadata, torch.float32)
    return load_prior(path).denoiser


def _write_onnx(path: Path, denoiser: ForeignDenoiser, source: Source, metadata: dict[str, str]) -> ChannelDenoiser:
    facts = OnnxFacts(denoiser.sigma_data, denoiser.multiple, "fp32", source.sha256, metadata)
    try:
        model = wrap_network(source.model, denoiser.units) if source.model is not None else export_denoiser(denoiser)
    except ForeignNetworkError as error:
        raise ConversionError(str(error)) from error
    packed = parse_onnx(pack_onnx(model, facts), "the converted model")
    path.write_bytes(packed.content)
    return OnnxDenoiser(packed, "cpu")


def _compare(written: ChannelDenoiser, checked: ChannelDenoiser, pair: CleanAndNoise) -> None:
    """Refuse a file whose denoiser differs from the one that was checked."""
    clean, noise = pair
    for sigma in SIGMAS:
        noisy = clean + sigma * noise
        a, b = (denoise_complex(denoiser, noisy, sigma) for denoiser in (written, checked))
        difference = float((a - b).abs().square().mean().sqrt()) / sigma
        if not difference < AGREEMENT:
            raise ConversionError(
                f"the written file differs from the network by {difference:.2g} of the noise at sigma {sigma:g}: "
                "it was not kept"
            )
