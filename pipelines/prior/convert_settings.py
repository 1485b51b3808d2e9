"""How a foreign network is to be read: the words of `nilatron convert` as conventions and units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nilatron.core.errors import BadInputError
from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP, Convention
from nilatron.core.prior.foreign import ForeignUnits
from nilatron.core.prior.noise_levels import cosine_alpha_bar, geometric_levels, linear_alpha_bar
from nilatron.pipelines.files.pictures import UNREADABLE, read_npy


class ConversionError(BadInputError):
    """A network that cannot be read or written, or is not the denoiser it is said to be."""


MOST_ROWS = 1_000_000  # of a table of noise levels
DEFAULTS = {  # predicts, time, time factor
    "edm": ("raw", "ln_sigma", 0.25),
    "ve": ("score", "sigma", 1.0),
    "vp": ("noise", "step", 1.0),
}


@dataclass(frozen=True)
class ForeignUnitSettings:
    """How the network is to be read; None is the convention's default.

    Attributes
    ----------
    convention
        edm, ve or vp.
    predicts
        raw (EDM's F), denoised, noise, score or v.
    time
        sigma, ln_sigma, step (whole, nearest) or position (between steps).
    time_factor
        What the network takes is this times the time.
    sigma_data
        EDM's, in the network's units.
    schedule
        vp: linear, cosine, continuous, or a file of alpha_bar; ve with step or position: geometric, or a file of sigma.
    limits
        First and last beta, or lowest and highest sigma, of the schedule.
    n_steps
        Of the schedule.
    noise, scale, offset, channels, swapped, multiple
        See `ForeignUnits`.
    """

    convention: str
    predicts: str | None = None
    time: str | None = None
    time_factor: float | None = None
    sigma_data: float | None = None
    schedule: str | None = None
    limits: tuple[float, float] | None = None
    n_steps: int = 1000
    noise: str = "component"
    scale: float = 1.0
    offset: float = 0.0
    channels: int = 2
    swapped: bool = False
    multiple: int = 16

    def units(self) -> ForeignUnits:
        """The units that the words name.

        Raises
        ------
        ConversionError
            When they name none.
        """
        if self.convention not in DEFAULTS:
            raise ConversionError(f"the convention must be one of {', '.join(DEFAULTS)}, got {self.convention!r}")
        try:
            convention = self._convention()
            return ForeignUnits(
                convention,
                noise=self.noise,
                scale=self.scale,
                offset=self.offset,
                channels=self.channels,
                swapped=self.swapped,
                time_factor=self._time_factor(),
                multiple=self.multiple,
            )
        except ConversionError:
            raise
        except ValueError as error:
            raise ConversionError(str(error)) from error

    def _time_factor(self) -> float:
        if self.time_factor is not None:
            return self.time_factor
        _, time, factor = DEFAULTS[self.convention]
        return factor if self._word("time") == time else 1.0

    def _word(self, name: str) -> str:
        given: str | None = getattr(self, name)
        if given is not None:
            return given
        predicts, time, _ = DEFAULTS[self.convention]
        if name == "predicts":
            return predicts
        return "sigma" if self.convention == "edm" and self.predicts == "denoised" else time

    def _convention(self) -> Convention:
        predicts, time = self._word("predicts"), self._word("time")
        if self.convention == "edm":
            self._refuse_schedule("an EDM network")
            if predicts == "raw" and self.sigma_data is None:
                raise ConversionError("a raw EDM network needs --sigma-data, as it was trained with (Karras: 0.5)")
            if predicts != "raw" and self.sigma_data is not None:
                raise ConversionError("sigma_data belongs to an EDM network that predicts raw: leave --sigma-data out")
            return EDM(predicts, time, 0.5 if self.sigma_data is None else self.sigma_data)
        if self.sigma_data is not None:
            raise ConversionError(f"sigma_data belongs to EDM, not to {self.convention}")
        if self.convention == "ve":
            return VE(predicts, time, self._levels(time))
        if self.schedule == "continuous":
            if self.time == "step":
                raise ConversionError("the continuous schedule has no steps: leave --time out")
            return ContinuousVP(predicts, self.limits or (0.1, 20.0))
        return VP(predicts, time, self._alpha_bar())

    def _levels(self, time: str) -> tuple[float, ...]:
        if time in ("sigma", "ln_sigma"):
            self._refuse_schedule(f"a network that takes {time}")
            return ()
        if self.schedule in (None, "geometric"):
            if self.limits is None:
                raise ConversionError(
                    f"--time {time} of VE needs --limits LOWEST HIGHEST, or --schedule FILE of its levels"
                )
            return geometric_levels(*self.limits, self.n_steps)
        return read_table(str(self.schedule))

    def _alpha_bar(self) -> tuple[float, ...]:
        if self.schedule in (None, "linear"):
            return linear_alpha_bar(*(self.limits or (1e-4, 0.02)), self.n_steps)
        if self.schedule == "cosine":
            return cosine_alpha_bar(self.n_steps)
        return read_table(str(self.schedule))

    def _refuse_schedule(self, what: str) -> None:
        if self.schedule is not None or self.limits is not None:
            raise ConversionError(f"{what} has no schedule: leave --schedule and --limits out")


def read_table(given: str) -> tuple[float, ...]:
    """Numbers of a text file or an npy file, in their order.

    Raises
    ------
    ConversionError
        When it is no such file.
    """
    path = Path(given)
    if not path.is_file():
        raise ConversionError(
            f"no schedule {given!r}: vp knows linear, cosine and continuous, ve geometric; or give a file of numbers"
        )
    try:
        values = read_npy(path) if path.suffix == ".npy" else np.loadtxt(path, ndmin=1, max_rows=MOST_ROWS)
        if values.size > MOST_ROWS:
            raise ValueError(f"{values.size} numbers are more than {MOST_ROWS}")
        return tuple(float(value) for value in np.ravel(values))
    except UNREADABLE as error:
        raise ConversionError(f"{path}: expected numbers, one a line, or an npy file of them ({error})") from error
