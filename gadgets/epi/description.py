"""The readout gradient of an encoding, from the header's trajectoryDescription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nilatron.core.epi.trapezoid import RealArray, Trapezoid, sample_positions
from nilatron.gadgets.items import ScanError

IDENTIFIER = "conventionalepi"
RAMPS = ("rampUpTime", "rampDownTime")
_KNOWN = {name.lower(): name for name in (*RAMPS, "flatTopTime", "acqDelayTime", "dwellTime", "numSamples")}


def is_epi(encoding: Any) -> bool:
    """Whether the header calls the trajectory of an encoding, or its description, EPI."""
    kind = getattr(encoding.trajectory, "value", encoding.trajectory)
    return kind == "epi" or is_conventional(encoding)


def is_conventional(encoding: Any) -> bool:
    """Whether the header describes the readouts of an encoding by the numbers of ConventionalEPI."""
    return _identifier(encoding) == IDENTIFIER


@dataclass(frozen=True)
class ReadoutGradient:
    """How the readouts of an encoding were sampled; times in us.

    Attributes
    ----------
    lobe
        The gradient.
    delay_us
        From its beginning to that of the first sample; None: the samples lie in its middle.
    dwell_us
        Between samples; None: as the lines say.
    n_samples
        Of each line; None: as the lines have.
    where
        The encoding, for messages.
    """

    lobe: Trapezoid
    delay_us: float | None
    dwell_us: float | None
    n_samples: int | None
    where: str

    def positions(self, n_samples: int, dwell_us: float, n_columns: int) -> RealArray:
        """K of the samples of a line of `n_samples` and the line's own `dwell_us`, in steps of the encoded grid.

        Raises
        ------
        ScanError
            For another number of samples than is stated, an unknown dwell time, or samples outside the gradient.
        """
        if self.n_samples is not None and n_samples != self.n_samples:
            raise ScanError(
                f"{self.where}/numSamples says {self.n_samples} ramp-sampled samples, but a line has {n_samples}; "
                'regridded="true" is for lines that the chain in front has regridded already'
            )
        dwell = self.dwell_us or dwell_us
        if dwell <= 0:
            raise ScanError(
                f"{self.where} states ramp sampling without dwellTime, and the lines have no sample_time_us: "
                "they cannot be regridded"
            )
        length, room = dwell * n_samples, self.lobe.duration_us
        delay = (room - length) / 2 if self.delay_us is None else self.delay_us
        if delay < -dwell or delay + length > room + dwell:
            source = "dwellTime" if self.dwell_us else "sample_time_us"
            raise ScanError(
                f"{self.where}: {n_samples} samples of {source} {dwell:g} us after acqDelayTime {delay:g} us end at "
                f"{delay + length:g} us, but rampUpTime, flatTopTime and rampDownTime make {room:g} us"
            )
        return sample_positions(self.lobe, delay, dwell, n_samples, n_columns)


def readout_gradient(encoding: Any, number: int) -> ReadoutGradient | None:
    """The gradient of an encoding whose header states ramps; None where it states none.

    Raises
    ------
    ScanError
        For ramps in a description of another identifier or under another name, and for missing or impossible times.
    """
    description = getattr(encoding, "trajectoryDescription", None)
    if description is None:
        return None
    numbers = stated_numbers(description)
    where = f"encoding {number} of the header: trajectoryDescription {description.identifier!r}"
    ramps = [name for name, value in numbers.items() if "ramp" in name.lower() and value != 0]
    if not ramps:
        return None
    if not is_conventional(encoding):
        raise ScanError(f"{where} states ramp sampling ({ramps[0]}); only that of ConventionalEPI is known")
    if not any(name.lower() in _KNOWN for name in ramps):
        raise ScanError(f"{where} states ramp sampling as {ramps[0]}; expected {', '.join(RAMPS)}")
    found = {_KNOWN[name.lower()]: value for name, value in numbers.items() if name.lower() in _KNOWN}
    for name in (*RAMPS, "flatTopTime"):
        if name not in found:
            raise ScanError(f"{where} states ramp sampling without {name}: its lines cannot be regridded")
    for name in (*RAMPS, "flatTopTime", "dwellTime", "numSamples"):
        if not 0 <= found.get(name, 0.0) < float("inf"):
            raise ScanError(f"{where}: {name} cannot be {found[name]:g}")
    lobe = Trapezoid(found["rampUpTime"], found["flatTopTime"], found["rampDownTime"])
    n_samples = int(found.get("numSamples", 0)) or None
    return ReadoutGradient(lobe, found.get("acqDelayTime"), found.get("dwellTime"), n_samples, where)


def number_of_navigators(encoding: Any) -> int:
    """Phase correction lines of each shot, as the description has them; 0 where it does not say."""
    description = getattr(encoding, "trajectoryDescription", None)
    return 0 if description is None else int(stated_numbers(description).get("numberOfNavigators", 0))


def stated_numbers(parameters: Any) -> dict[str, float]:
    """The named numbers of a description, whole, broken or as text."""
    entries = [
        entry
        for kind in ("Long", "Double", "String")
        for entry in getattr(parameters, f"userParameter{kind}", None) or []
        if entry.name
    ]
    found = ((str(entry.name).strip(), _number(entry.value)) for entry in entries)
    return {name: value for name, value in found if value is not None}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _identifier(encoding: Any) -> str:
    description = getattr(encoding, "trajectoryDescription", None)
    return "" if description is None else str(description.identifier or "").strip().lower()
