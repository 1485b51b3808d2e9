"""Networks trained elsewhere as our denoiser D(x, s): conversion of image units, channels and noise levels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nilatron.core.prior.conventions import EDM, Convention
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import UNetConfig

NOISE_KINDS = ("component", "complex")


@dataclass(frozen=True)
class ForeignUnits:
    """Units in which a network trained elsewhere takes images and noise levels.

    Attributes
    ----------
    convention
        Convention of its prediction and its noise levels.
    noise
        "component" if its noise level is the standard deviation s of each real channel, "complex" if it is that of complex
        noise, sqrt(2) s.
    scale, offset
        Its images are scale x + offset, where x has image scale 1 (the 99.5th percentile of the magnitude is 1).
    channels
        2 if it takes real and imaginary part together, 1 if it was trained on magnitudes; such a network is applied to each
        part separately.
    swapped
        Whether the imaginary part comes first.
    time_factor
        Ratio of its time to that of the convention.
    multiple
        The image sides have to be a multiple of this.
    """

    convention: Convention
    noise: str = "component"
    scale: float = 1.0
    offset: float = 0.0
    channels: int = 2
    swapped: bool = False
    time_factor: float = 1.0
    multiple: int = 16

    def __post_init__(self) -> None:
        """Refuse unknown words and impossible numbers."""
        if self.noise not in NOISE_KINDS:
            raise ValueError(f"noise must be one of {', '.join(NOISE_KINDS)}, got {self.noise!r}")
        if not 0 < self.scale < math.inf or not math.isfinite(self.offset) or not math.isfinite(self.time_factor):
            raise ValueError(
                f"scale must be positive, offset and time factor finite: {self.scale}, {self.offset}, {self.time_factor}"
            )
        if self.channels not in (1, 2):
            raise ValueError(f"channels must be 2 (real and imaginary part) or 1 (magnitude), got {self.channels}")
        if self.channels == 1 and (self.swapped or self.noise == "complex"):
            raise ValueError("a network of one channel has neither an order of channels nor complex noise")
        if not 1 <= self.multiple <= 1024:
            raise ValueError(f"the sides must be a multiple of 1 to 1024, got {self.multiple}")

    @property
    def noise_factor(self) -> float:
        """Ratio of the network's noise level to s."""
        return self.scale * (math.sqrt(2) if self.noise == "complex" else 1.0)


class ForeignDenoiser(nn.Module):
    """D(x, s) = (skip z + gain N(input z, time) - offset) / scale,  z = scale x + offset; a `ChannelDenoiser`.

    The convention's coefficients are taken at sigma = scale s, or sqrt(2) scale s.

    Parameters
    ----------
    network
        N(u, time): real channels (batch, channels, y, x) and (batch,) to the same shape; time is int64 if the convention
        counts steps, float32 otherwise. If it returns twice as many channels, only the first half is used (the others are
        logarithms of variances in DDPMs that learn them).
    units
        Units of the network.
    sigma_data
        Root mean square of one real component of images at image scale 1.
    """

    def __init__(self, network: nn.Module, units: ForeignUnits, sigma_data: float) -> None:
        super().__init__()
        self.network, self.units, self.sigma_data = network, units, sigma_data

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""
        return self.units.multiple

    @property
    def n_inputs(self) -> int:
        """Number of input channels: those of the noisy image."""
        return 2

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """Denoise real channels (batch, 2, y, x) at per-component noise s, (batch,) or (1,)."""
        s = s.expand(x.shape[0])
        return self.finish(x, s, self.network(*self.prepare(x, s)))

    def prepare(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs u and time of the network for x (batch, 2, y, x) and s (batch,)."""
        coefficients = self.units.convention.coefficients(self._sigma(s))
        time = self.units.time_factor * coefficients.time
        if self.units.convention.time == "step":
            time = time.to(torch.int64)
        return coefficients.input[:, None, None, None] * self._foreign(x), time

    def finish(self, x: Tensor, s: Tensor, predicted: Tensor) -> Tensor:
        """Denoised image D(x, s) from the network's output."""
        coefficients = self.units.convention.coefficients(self._sigma(s))
        z = self._foreign(x)
        predicted = predicted[:, : self.units.channels].to(torch.float32)
        denoised = coefficients.skip[:, None, None, None] * z + coefficients.gain[:, None, None, None] * predicted
        denoised = ((denoised - self.units.offset) / self.units.scale).reshape(x.shape)
        return denoised.flip(1) if self.units.swapped else denoised

    def _sigma(self, s: Tensor) -> Tensor:
        """Noise level in the network's units of each of its images."""
        sigma = self.units.noise_factor * s.to(torch.float32)
        return sigma if self.units.channels == 2 else sigma[:, None].expand(-1, 2).reshape(-1)

    def _foreign(self, x: Tensor) -> Tensor:
        """Image x in the network's units and channels."""
        z = self.units.scale * (x.flip(1) if self.units.swapped else x) + self.units.offset
        return z if self.units.channels == 2 else z.reshape(-1, 1, *x.shape[2:])


def rename_prefixes(tensors: Mapping[str, Tensor], prefixes: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """The tensors under new names: the first pair (old, new) whose old prefix fits a name replaces that prefix.

    Raises
    ------
    ValueError
        When a prefix fits no name, or two tensors would get the same name.
    """
    pairs = list(prefixes)
    result: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, value in tensors.items():
        old, new = next(((a, b) for a, b in pairs if name.startswith(a)), ("", ""))
        used.add(old)
        changed = new + name.removeprefix(old)
        if changed in result:
            raise ValueError(f"two tensors would be called {changed!r}")
        result[changed] = value
    for old, _ in pairs:
        if old and old not in used:
            raise ValueError(f"no tensor has a name that begins with {old!r}; there are {', '.join(list(tensors)[:3])}")
    return result


def to_edm_denoiser(network_state: Mapping[str, Tensor], config: UNetConfig, units: ForeignUnits) -> EDMDenoiser:
    """Our denoiser with weights such that its D is exactly that of a U-Net of our architecture trained in other units.

    Let f be the ratio of the network's noise level to s, k its scale and d its sigma_data. In our units D is the EDM denoiser
    of sigma_data d / f whose network takes k / f times its input, returns f / k times its output, and sees the noise
    coordinate ln(s) / 4 + ln(f) / 4. The first factor goes into the first layer, the second into the last; the shift rotates
    the Fourier features (cos w c, sin w c), which is compensated in the first layer of the embedding.

    Raises
    ------
    ValueError
        When the network is not an EDM network that predicts "raw", or the tensors do not fit.
    """
    convention = units.convention
    if not isinstance(convention, EDM) or convention.predicts != "raw" or not _is_ours(units):
        raise ValueError(
            "our weights format holds EDM networks that predict raw, with time ln(sigma) / 4, 2 channels and no offset; "
            "write ONNX instead (-o NAME.onnx)"
        )
    f = units.noise_factor
    denoiser = EDMDenoiser(config, convention.sigma_data / f)
    denoiser.network.load_state_dict({name: value.to(torch.float32) for name, value in network_state.items()})
    first, last = denoiser.network.first, denoiser.network.last[2]
    mix = denoiser.network.embed.mix.get_parameter("0.weight")
    angle = denoiser.network.embed.get_buffer("frequencies") * (math.log(f) / 4)
    with torch.no_grad():
        first.weight.mul_(units.scale / f)
        for parameter in last.parameters():
            parameter.mul_(f / units.scale)
        if units.swapped:
            first.weight.copy_(first.weight.flip(1))
            for parameter in last.parameters():
                parameter.copy_(parameter.flip(0))
        cos, sin = mix.chunk(2, dim=1)
        rotated = (cos * angle.cos() + sin * angle.sin(), sin * angle.cos() - cos * angle.sin())
        mix.copy_(torch.cat(rotated, dim=1))
    return denoiser.eval()


def _is_ours(units: ForeignUnits) -> bool:
    expected = (2, 0.0, 0.25, "ln_sigma")
    return (units.channels, units.offset, units.time_factor, units.convention.time) == expected
