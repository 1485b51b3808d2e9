"""Our own methods through core and gadgets: the same work as in the chains, without streams."""

from __future__ import annotations

from nilatron.core.backend import ComplexArray
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.coils.espirit import espirit_maps
from nilatron.gadgets.nila.method import run_nila, run_published
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings
from nilatron.gadgets.problem import Outcome
from peers.case import Case
from peers.denoiser import CountedDenoiser
from peers.maps import map_error
from peers.measurement import Measurement, RunSettings, once, timed

CG_SENSE_PRODUCTS = 10  # its iterations
COARSE_PIXELS = 1 / 4  # about; the sides fit the network


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """Variant: "nila", "published" with a number of steps behind a colon, "l1-wavelet", "cg-sense" or "maps"."""
    name, _, steps = variant.partition(":")
    if name == "nila":
        return nila(case, settings)
    if name == "published":
        return published(case, settings.steps(int(steps)), settings)
    if name == "maps":
        return coil_maps(case, settings)
    method = {"l1-wavelet": l1_wavelet, "cg-sense": cg_sense}[name]

    def run() -> ComplexArray:
        operator = case.operator()
        image: ComplexArray = method(operator, operator.data(case.kspace))  # type: ignore[operator]
        return image

    image, seconds, rounds = timed(run, settings.rounds)
    return Measurement(seconds, rounds, case.psnr(image))


def coil_maps(case: Case, settings: RunSettings) -> Measurement:
    """ESPIRiT behind the compression of the coils, as in the chains."""
    shape = (case.counts.shape[0], case.counts.shape[1], case.counts.shape[2])

    def run() -> tuple[ComplexArray, ComplexArray]:
        matrix = compression_matrix(case.operator().data(case.kspace), case.counts)
        return matrix, espirit_maps(compress(matrix, case.calibration), shape)

    (matrix, virtual), seconds, rounds = timed(run, settings.rounds)
    maps: ComplexArray = compress(matrix.conj().T, virtual)
    n_coils, n_virtual = matrix.shape[1], matrix.shape[0]
    note = f"{n_coils} coils compressed to {n_virtual}" if n_virtual < n_coils else ""
    return Measurement(seconds, rounds, map_error=map_error(maps, case), note=note)


def nila(case: Case, settings: RunSettings) -> Measurement:
    """The default of the chain `nila`, coil compression and conventional image included, no samples."""
    node = NilaNodeSettings(series=("nila",))

    def run() -> Outcome:
        return run_nila(case.compressed().problem(settings.weights), node)

    outcome, seconds, rounds = timed(run, settings.rounds)
    steps, coarse, iterations = (int(outcome.provenance[name]) for name in ("steps", "coarse_steps", "cg_iterations"))
    products = iterations + steps + CG_SENSE_PRODUCTS  # each solution begins with the residual of its start
    return Measurement(
        seconds,
        rounds,
        case.psnr(outcome.images["main"]),
        steps,
        products,
        full_share=1 - coarse / steps * (1 - COARSE_PIXELS),
        note=f"{engine_of(outcome)}; {coarse} of {steps} steps at half the resolution",
    )


def published(case: Case, n_steps: int, settings: RunSettings) -> Measurement:
    """The published sampler; once, since it is slow."""
    node = PublishedNodeSettings(series=("nila",), steps=n_steps)
    CountedDenoiser(settings.weights, case.reference.shape)  # its first evaluation, off the clock
    outcome, seconds = once(lambda: run_published(case.problem(settings.weights), node))
    return Measurement(seconds, 1, case.psnr(outcome.images["main"]), n_steps, note=engine_of(outcome))


def engine_of(outcome: Outcome) -> str:
    """What computed the network: the same for all methods but those that need its gradient."""
    return f"network by {outcome.provenance['engine']}"
