"""Synthetic scans, and the messages that a real Gadgetron server sent."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import pytest
from gadgetron.external import readers
from gadgetron.external.constants import uint32
from gadgetron.types.acquisition_bucket import read_acquisition_bucket
from gadgetron.types.recon_data import read_recon_data

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.sensitivities import estimate_sensitivities
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SHARED = Path(__file__).resolve().parents[2] / "../shared"
ITEM_READERS = {
    1008: readers.read_acquisition,
    1022: readers.read_image,
    1023: read_recon_data,
    1026: readers.read_waveform,
    1050: read_acquisition_bucket,
}


@pytest.fixture(scope="session")
def slices_of() -> Callable[[SimulationSettings], tuple[Any, list[KSpaceSlice]]]:
    """Header, and slices with coil maps, of a simulated scan."""

    def simulate(scan: SimulationSettings) -> tuple[Any, list[KSpaceSlice]]:
        header, items = simulate_items(scan)
        context, whitening = Context(header), Whitening(NoiseSettings())
        stream = whitening.lines(items, context)
        stream = whitening.slices(Accumulator()(stream, context), context)
        return header, list(estimate_sensitivities(stream, context))

    return simulate


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared development data are not beside the checkout")
    return SHARED


@pytest.fixture
def recording(shared: Path) -> Callable[[str], tuple[Context, list[Any]]]:
    """Context and items of a recording; the reader is the PyPI package's."""

    def decode(name: str) -> tuple[Context, list[Any]]:
        source = io.BytesIO((shared / "wire" / name).read_bytes())
        header, items = None, []
        while (message := int.from_bytes(source.read(2), "little")) != 4:
            if message in (2, 3):
                text = readers.read_byte_string(source, uint32)
                header = text if message == 3 else header
            else:
                items.append(ITEM_READERS[message](source))
        assert not source.read()
        return Context(ismrmrd.xsd.CreateFromDocument(header)), items

    return decode


@pytest.fixture
def scan_header() -> Callable[..., Any]:
    """Make a header: matrices (x, y, z), limits of y (first, centre, last), calibration mode (None: not parallel)."""

    def make(
        encoded: tuple[int, int, int],
        recon: tuple[int, int, int] | None = None,
        *,
        y_limits: tuple[int, int, int] | None = None,
        n_repetitions: int = 0,
        mode: str | None = None,
        bandwidth: float | None = None,
    ) -> Any:
        xsd = ismrmrd.xsd

        def space(matrix: tuple[int, int, int]) -> Any:
            x, y, z = matrix
            return xsd.encodingSpaceType(
                matrixSize=xsd.matrixSizeType(x=x, y=y, z=z),
                fieldOfView_mm=xsd.fieldOfViewMm(x=2.0 * x, y=2.0 * y, z=2.0 * z),
            )

        first, centre, last = y_limits or (0, encoded[1] // 2, encoded[1] - 1)
        limits = xsd.encodingLimitsType(
            kspace_encoding_step_1=xsd.limitType(minimum=first, center=centre, maximum=last),
            kspace_encoding_step_2=xsd.limitType(minimum=0, center=encoded[2] // 2, maximum=encoded[2] - 1),
        )
        if n_repetitions:
            limits.repetition = xsd.limitType(minimum=0, center=0, maximum=n_repetitions - 1)
        encoding = xsd.encodingType(
            encodedSpace=space(encoded),
            reconSpace=space(recon or encoded),
            encodingLimits=limits,
            trajectory=xsd.trajectoryType.CARTESIAN,
        )
        if mode is not None:
            encoding.parallelImaging = xsd.parallelImagingType(
                accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1),
                calibrationMode=xsd.calibrationModeType(mode),
            )
        header = xsd.ismrmrdHeader(
            experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=1), encoding=[encoding]
        )
        if bandwidth is not None:
            header.acquisitionSystemInformation = xsd.acquisitionSystemInformationType(
                relativeReceiverNoiseBandwidth=bandwidth
            )
        return header

    return make


@pytest.fixture
def make_line() -> Callable[..., ismrmrd.Acquisition]:
    """Make a line (coil, sample) with an echo, flags, a dwell time, discards and encoding counters."""

    def make(
        data: np.ndarray,
        *flags: int,
        echo: int | None = None,
        dwell_us: float = 5.0,
        discard: tuple[int, int] = (0, 0),
        **counters: int,
    ) -> ismrmrd.Acquisition:
        line = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, dtype=np.complex64))
        line.center_sample = data.shape[1] // 2 if echo is None else echo
        line.sample_time_us = dwell_us
        line.discard_pre, line.discard_post = discard
        for flag in flags:
            line.set_flag(flag)
        for name, value in counters.items():
            setattr(line.idx, {"y": "kspace_encode_step_1", "z": "kspace_encode_step_2"}.get(name, name), value)
        return line

    return make
