"""Which of the spots that an image invents are outlined, and which lesions are.

usage: python benchmarks/outlined.py --data DIR [--acceleration 4 6 8] [--noise 0 2 4] [--weights NAME|FILE]

DIR holds kspace/brain_t1_8ch_espirit_full.h5. Ten lesions, discs of 4 pixels and 40 % contrast, are in every scan (as in
`lesions.py`). A structure of the image (at least 8 % of its surroundings, 4 pixels) is invented where the full scan shows less
than half of it. Right: share of the outlined spots that touch an invented one. The columns of pixels: share of the invented
ones among all pixels of structures, and among the outlined.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lesions import Brain, discs, load, places, problem_of
from nilatron.core.fft import fft
from nilatron.core.prior.weights import find_weights
from nilatron.core.uncertainty.unsupported import unsupported
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from report import Cell, markdown, write_json
from scans import BRAIN, with_noise

Mask = npt.NDArray[np.bool_]
SETTINGS = NilaNodeSettings(series=("nila", "conventional", "uncertainty"))
DIAMETER, CONTRAST, N_LESIONS = 4.0, 0.4, 10
NEVER = 1e6  # half-width of an interval that supports nothing


def spots_in(mask: Mask) -> list[Mask]:
    """Each spot of a mask."""
    labels, n = ndimage.label(mask)
    return [labels == number for number in range(1, n + 1)]


def touching(spots: list[Mask], mask: Mask) -> int:
    """Number of spots that touch a mask."""
    return sum(bool((spot & mask).any()) for spot in spots)


def row_of(brain: Brain, acceleration: int, noise: float, weights: Path) -> dict[str, Cell]:
    """One scan."""
    generator = np.random.default_rng(3)
    profiles = discs(brain, places(brain, N_LESIONS, generator), DIAMETER)
    signs = generator.choice([-1.0, 1.0], len(profiles))
    factor = CONTRAST * np.sum([sign * one for sign, one in zip(signs, profiles, strict=True)], axis=0)
    change = np.asarray(brain.image * factor, np.complex64)
    problem = problem_of(with_noise(brain.full + fft(brain.maps * change), noise, 0), acceleration, weights)
    outcome = run_nila(problem, SETTINGS)
    image, conventional = (np.abs(each[0]) for each in (outcome.images["main"], problem.conventional))
    half_width = float(outcome.provenance["uncertainty_kappa"]) * outcome.images["uncertainty"][0]
    truth = np.abs((brain.image + change)[0])
    truth *= np.sum(image * image) / np.sum(image * truth)
    outlines = unsupported(image, conventional, half_width)
    invented = unsupported(image, truth, np.full_like(image, NEVER))
    structures = unsupported(image, np.zeros_like(image), np.full_like(image, NEVER))
    outlined, made_up = spots_in(outlines), spots_in(invented)
    lesions = [one > 0.5 for one in profiles]
    return {
        "R": acceleration,
        "noise": f"{noise:g}x",
        "invented": len(made_up),
        "of them outlined": touching(made_up, outlines),
        "outlined": len(outlined),
        "right": f"{touching(outlined, invented) / max(1, len(outlined)):.2f}",
        "pixels invented": f"{np.sum(invented) / np.sum(structures):.3f}",
        "of outlined pixels": f"{np.sum(invented & outlines) / max(1, np.sum(outlines)):.3f}",
        f"lesions of {len(lesions)} outlined": touching(lesions, outlines),
    }


def rows(brain: Brain, options: argparse.Namespace) -> Iterator[dict[str, Cell]]:
    """One row for each acceleration and noise."""
    for acceleration in options.acceleration:
        for noise in options.noise:
            row = row_of(brain, acceleration, noise, options.weights)
            print(row, file=sys.stderr, flush=True)
            yield row


def main() -> int:
    """Print the table; 2 when the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--acceleration", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 2.0, 4.0], help="added, by that of the scan")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    options = parser.parse_args()
    if not (options.data / "kspace" / BRAIN).is_file():
        print(f"needs kspace/{BRAIN} in {options.data}", file=sys.stderr)
        return 2
    table = list(rows(load(options.data), options))
    print(markdown(table))
    if options.json:
        write_json(options.json, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
