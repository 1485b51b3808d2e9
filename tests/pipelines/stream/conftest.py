import io

import ismrmrd
import pytest
from ismrmrd.xsd import ToXML

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, FileSource, Header, encode, read_message

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=3, n_slices=2, noise_lines=8, waveform_every=5, noise_std=0.02)


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


@pytest.fixture(scope="session")
def scan_settings():
    """What the scan is simulated with."""
    return SCAN


@pytest.fixture(scope="session")
def scan():
    """Header as XML, and items."""
    header, items = simulate_items(SCAN)
    return ToXML(header).encode(), items


@pytest.fixture(scope="session")
def stream_bytes(scan):
    """The scan as a stream of MRD v1."""
    return message_bytes(Header(scan[0]), *scan[1], Close())


@pytest.fixture
def messages_in():
    """All messages of a stream of MRD v1."""

    def of_bytes(data):
        source, found = FileSource(io.BytesIO(data)), []
        while (message := read_message(source)) is not None:
            found.append(message)
        return found

    return of_bytes


@pytest.fixture
def images_in(messages_in):
    """The images of a stream of MRD v1 that has a header first and CLOSE last."""

    def of_bytes(data):
        header, *images, end = messages_in(data)
        assert (type(header), type(end)) == (Header, Close)
        assert all(isinstance(image, ismrmrd.Image) for image in images)
        return images

    return of_bytes
