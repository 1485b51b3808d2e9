"""What calibration found for each protocol class, as it is stored with the weights."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from nilatron.core.uncertainty.conformal import conformal_bound

ACCELERATION_EDGES = (2.2, 3.4)  # of samples of the whole grid by acquired ones, calibration lines included
NOISE_EDGES = (0.02, 0.05)  # of the complex standard deviation of the noise, image scale 1
MAX_CLASSES = 1000


@dataclass(frozen=True)
class ClassCalibration:
    """Calibration of one protocol class.

    Attributes
    ----------
    kappa
        Half-width of the interval by the predicted standard deviation.
    psnr_margin_db
        By how much the predicted PSNR has to be lowered to become a lower bound.
    subjects
        Number of subjects behind both.
    """

    kappa: float
    psnr_margin_db: float
    subjects: int

    def __post_init__(self) -> None:
        """Refuse what no calibration gives."""
        if not 0 < self.kappa < math.inf or not math.isfinite(self.psnr_margin_db) or self.subjects < 1:
            raise ValueError(f"expected kappa > 0, a finite margin and subjects, got {self}")


@dataclass(frozen=True)
class CalibrationLevels:
    """What is promised.

    Attributes
    ----------
    coverage
        Share of a subject's pixels inside the interval.
    confidence
        Probability that a new subject has this coverage or more; 0.5 makes it right on average, more spares the subjects
        whose errors are larger than predicted.
    bound
        Probability that the PSNR of every image of a new subject is above its bound.
    """

    coverage: float = 0.9
    confidence: float = 0.6
    bound: float = 0.9

    def __post_init__(self) -> None:
        """Refuse levels outside 0 to 1."""
        for name, value in asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")


@dataclass(frozen=True)
class SubjectScores:
    """How one subject's images of one class were predicted: its covering factor, and its largest margin in dB."""

    kappa: float
    psnr_margin_db: float


@dataclass(frozen=True)
class Calibration:
    """Classes by (acceleration band, noise band), with the levels that hold for all of them."""

    classes: Mapping[tuple[int, int], ClassCalibration]
    levels: CalibrationLevels = field(default_factory=CalibrationLevels)
    acceleration_edges: tuple[float, ...] = ACCELERATION_EDGES
    noise_edges: tuple[float, ...] = NOISE_EDGES

    def of(self, acceleration: float, noise: float) -> ClassCalibration | None:
        """Calibration of the class of a scan; None for a class that was not calibrated."""
        return self.classes.get(self.class_of(acceleration, noise))

    def class_of(self, acceleration: float, noise: float) -> tuple[int, int]:
        """Bands of an acceleration and a noise level of image scale 1."""
        return bisect.bisect_right(self.acceleration_edges, acceleration), bisect.bisect_right(self.noise_edges, noise)

    def json(self) -> str:
        """As text, for the metadata of a weights file."""
        return json.dumps(
            {
                "levels": asdict(self.levels),
                "acceleration_edges": list(self.acceleration_edges),
                "noise_edges": list(self.noise_edges),
                "classes": [[*key, asdict(value)] for key, value in sorted(self.classes.items())],
            }
        )

    @classmethod
    def parsed(cls, text: str) -> Calibration:
        """Inverse of `json`.

        Raises
        ------
        ValueError
            When the text is no calibration.
        """
        try:
            read = json.loads(text)
            rows = read["classes"]
            if len(rows) > MAX_CLASSES:
                raise ValueError(f"{len(rows)} classes")
            classes = {(int(r), int(n)): ClassCalibration(**value) for r, n, value in rows}
            edges = [tuple(map(float, read[name])) for name in ("acceleration_edges", "noise_edges")]
            return cls(classes, CalibrationLevels(**read["levels"]), *edges)
        except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"no calibration: {error}") from error


def calibrated(
    scores: Mapping[tuple[int, int], Sequence[SubjectScores]], levels: CalibrationLevels | None = None
) -> Calibration:
    """Calibration of the classes from the scores of their subjects.

    Raises
    ------
    TooFewSubjectsError
        When a class has fewer subjects than one of the levels needs.
    """
    levels = levels or CalibrationLevels()
    return Calibration(
        {
            key: ClassCalibration(
                conformal_bound([one.kappa for one in subjects], levels.confidence),
                conformal_bound([one.psnr_margin_db for one in subjects], levels.bound),
                len(subjects),
            )
            for key, subjects in scores.items()
        },
        levels,
    )
