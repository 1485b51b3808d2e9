import shutil
import socket
import struct
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ProtocolDeserializer, ProtocolSerializer
from PIL import Image
from safetensors.torch import save_file

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import shipped_weights
from nilatron.gadgets.items import Context
from nilatron.pipelines.client.exchange import ClientTimeouts, Exchange, ServerError, open_connection
from nilatron.pipelines.client.request import Address
from nilatron.pipelines.conversation.conversation import Conversation, ConversationSettings
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate, simulate_items
from nilatron.pipelines.wire import ConfigName, Connection, Decoder, Error, Header, Timeouts, encode

TIMEOUTS = Timeouts(5, 5, 5)
SETTINGS = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=2)


@pytest.fixture
def own(tmp_path):
    """The tensors of our tiny network, as it is without a step before, under names of somebody else."""
    tensors = load_prior(shipped_weights("tiny")).denoiser.network.state_dict()
    tensors["first.weight"] = tensors["first.weight"][:, :2]
    path = tmp_path / "own.safetensors"
    save_file({f"net.{name}": tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture
def head(tmp_path):
    """A small picture of a head."""
    path = tmp_path / "head.png"
    Image.fromarray(np.uint8(200 * np.abs(phantom((1, 96, 80))[0]))).save(path)
    return path


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    simulate(path, replace(SETTINGS, waveform_every=4))
    return path


@pytest.fixture
def raw_path(pristine, tmp_path):
    return Path(shutil.copy(pristine, tmp_path / "raw.h5"))


@pytest.fixture
def replayed(tmp_path):
    """Simulate a scan, optionally spoil the file, and replay it; returns the report and images by (series, slice, ...).

    Keys of the images are (series, slice, contrast, repetition), values arrays (z, y, x).
    """

    def run(settings, chain="cg_sense", *, edit=None, **options):
        raw, output = tmp_path / "raw.h5", tmp_path / "out.h5"
        simulate(raw, settings, overwrite=True)
        if edit is not None:
            edit(raw)
        report = replay(ReplaySettings(raw, output, chain, output_group="images", overwrite=True, **options))
        return report, read_images(output)

    return run


def read_images(path, group="images"):
    images = {}
    with h5py.File(path) as file:
        for name, series in file[group].items():
            for head, pixels in zip(series["header"][:], series["data"][:], strict=True):
                key = (int(name.split("_")[1]), *(int(head[index]) for index in ("slice", "contrast", "repetition")))
                assert key not in images, f"two images of {key}"
                images[key] = pixels[0]
    return images


@pytest.fixture
def linear_prior(tmp_path):
    """Weights of a prior whose network is zero: the denoiser of white Gaussian images, known in closed form."""
    path = tmp_path / "prior.safetensors"
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.5)
    save_prior(path, denoiser, {"licence": "none", "trained_steps": "0"})
    return path


@pytest.fixture
def serve():
    """Have a function answer one connection, in a thread; returns the address. What it raises fails the test."""
    threads, failures = [], []

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(20)

        def run():
            try:
                with listener, listener.accept()[0] as sock:
                    sock.settimeout(20)
                    answer(sock)
            except Exception as error:  # noqa: BLE001 - raised again in the test
                failures.append(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return Address("127.0.0.1", listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.fixture
def peer():
    """A server of ismrmrd's stream classes for `serve`; `answer` is given its reader (a generator) and its writer."""

    def make(answer):
        def run(sock):
            with sock.makefile("rb") as incoming:
                writer = ProtocolSerializer(SimpleNamespace(write=sock.sendall, flush=int))
                answer(ProtocolDeserializer(incoming).deserialize(), writer)

        return run

    return make


def scan_line(number, n_samples=64):
    made = ismrmrd.Acquisition.from_array(np.full((2, n_samples), number, np.complex64))
    made.scan_counter, made.acquisition_time_stamp = number, 400 + 4 * number
    return made


@pytest.fixture
def line():
    """Make a line by its number; its stamp is 4 ticks after that of the one before."""
    return scan_line


@pytest.fixture
def image():
    """Make an image by its index."""

    def make(number, shape=(8, 8)):
        made = ismrmrd.Image.from_array(np.full((1, *shape), number, np.float32))
        made.image_index = number
        return made

    return make


@pytest.fixture
def until_hung_up():
    """Make of an answer the same one, for which a client that hangs up is no failure."""

    def make(answer):
        def run(*ends):
            with suppress(EOFError, OSError):
                answer(*ends)

        return run

    return make


@pytest.fixture
def exchange():
    """Talk to a server as a client: images' indices, what went wrong, and what else came.

    Items are 12 lines where none are given; `came` is called for every image.
    """
    condition = ismrmrd.xsd.experimentalConditionsType(H1resonanceFrequency_Hz=1)
    xml = ismrmrd.xsd.ToXML(ismrmrd.xsd.ismrmrdHeader(experimentalConditions=condition)).encode()
    quick = ClientTimeouts(connect_s=5, message_s=5, idle_s=5, error_message_s=0.3)

    def run(address, items=None, timeouts=quick, came=lambda: None, **options):
        found, error = [], None
        sent = map(scan_line, range(12)) if items is None else items
        with open_connection(address, timeouts) as connection:
            talk = Exchange(connection, (ConfigName("cg_sense.xml"), Header(xml)), sent, timeouts, **options)
            try:
                for image in talk.images():
                    found.append(image.image_index)
                    came()
            except ServerError as problem:
                error = problem
        return found, error, talk.reply

    return run


class OtherEnd:
    """What a node or a conversation talks to: sends, and keeps what it gets."""

    def __init__(self, sock, process=None):
        self.socket, self.process, self.received, self.reset = sock, process, b"", False

    def send(self, *parts):
        for part in parts:
            self.socket.sendall(part if isinstance(part, bytes) else b"".join(map(bytes, encode(part))))

    def send_meanwhile(self, data, then=None):
        def run():
            self.socket.sendall(data)
            if then is not None:
                then(self.socket)

        threading.Thread(target=run, daemon=True).start()

    def read_to_end(self, pause_s=0.0):
        try:
            while chunk := self.socket.recv(1 << 20):
                self.received += chunk
                time.sleep(pause_s)
        except ConnectionResetError:
            self.reset = True
        self.socket.close()
        return self.messages()

    def read_messages(self, n_messages):
        while len(self.messages()) < n_messages:
            chunk = self.socket.recv(1 << 16)
            assert chunk, f"the node ended after {self.messages()}"
            self.received += chunk

    def messages(self):
        return list(Decoder().feed(self.received))

    def kinds(self):
        return [m.image_index if isinstance(m, ismrmrd.Image) else type(m).__name__ for m in self.messages()]

    def error(self):
        return next(m.text for m in self.messages() if isinstance(m, Error))

    def exit_code(self, within_s=30):
        if isinstance(self.process, subprocess.Popen):
            return self.process.wait(within_s)
        self.process.join(within_s)
        assert self.process.exitcode is not None, "the node did not end"
        return self.process.exitcode


@pytest.fixture
def ends():
    """The socket of this end, and the other one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), 20)
        here, _ = server.accept()
    client.settimeout(20)
    with closing(client), closing(here):
        yield here, OtherEnd(client)


@pytest.fixture
def held():
    """Start a conversation in a thread; returns it, and a function that waits for its report."""

    def start(here, gadget, timeouts=TIMEOUTS, **settings):
        reports = []

        def prepare():
            if isinstance(gadget, Exception):
                raise gadget
            return gadget, Context(None)

        conversation = Conversation(
            Connection(here, timeouts=timeouts), "test", ConversationSettings(**{"end_s": 5, **settings})
        )
        thread = threading.Thread(target=lambda: reports.append(conversation.run(prepare)), daemon=True)
        thread.start()

        def wait(within_s=15.0):
            thread.join(within_s)
            assert not thread.is_alive(), "the conversation hangs"
            return reports[0]

        return conversation, wait

    return start


@pytest.fixture
def serving():
    """Be the server of a node that `start(port)` starts: the end of Gadgetron, once it is connected."""

    @contextmanager
    def run(start):
        with socket.create_server(("localhost", 0)) as listener:
            listener.settimeout(60)
            process = start(listener.getsockname()[1])
            sock, _ = listener.accept()
        sock.settimeout(60)
        with closing(sock):
            try:
                yield OtherEnd(sock, process)
            finally:
                process.kill()
                process.communicate() if isinstance(process, subprocess.Popen) else process.join()

    return run


@pytest.fixture
def raw_file_of():
    """Write a raw file of a header and lines, replacing what was there."""

    def write(path, header, lines):
        path.unlink(missing_ok=True)
        with ismrmrd.Dataset(path, "dataset") as file:
            file.write_xml_header(ismrmrd.xsd.ToXML(header).encode())
            for line in lines:
                file.append_acquisition(line)
        return path

    return write


@pytest.fixture
def noise_measurement():
    """Header and lines of a simulated scan, its header telling coil labels, an id and the noise measurement it needs."""

    def make(settings, labels="", own=None, depends_on=None):
        header, items = simulate_items(settings)
        header.acquisitionSystemInformation.coilLabel = [
            ismrmrd.xsd.coilLabelType(coilNumber=number, coilName=name) for number, name in enumerate(labels)
        ]
        header.measurementInformation.measurementID = own
        if depends_on:
            header.measurementInformation.measurementDependency = [
                ismrmrd.xsd.measurementDependencyType(dependencyType="noise", measurementID=depends_on)
            ]
        return header, items

    return make


def packed_values(values, n_bits, scale):
    """Whole numbers of so many bits, one after the other, by way of one large number."""
    integers = [round(float(value) * scale) for value in values]
    number = sum((value & ((1 << n_bits) - 1)) << (n_bits * place) for place, value in enumerate(integers))
    return struct.pack("<QfB", len(integers), scale, n_bits) + number.to_bytes(
        -(-n_bits * len(integers) // 8), "little"
    )


def scale_for(values, n_bits):
    """The largest scale that a signed number of so many bits allows (option -P)."""
    return float(np.float32(((1 << (n_bits - 1)) - 1) / np.abs(values).max()))


def compressed_bytes(plain, n_bits=12, flag=ismrmrd.ACQ_COMPRESSION2, content=None):
    """The message of a line as `gadgetron_ismrmrd_client -P n_bits` sends it."""
    head = plain.getHead()
    head.flags |= 1 << (flag - 1)
    values = plain.data.reshape(-1).view(np.float32)
    content = packed_values(values, n_bits, scale_for(values, n_bits)) if content is None else content
    return b"".join(
        (struct.pack("<H", 1008), bytes(head), plain.traj.tobytes(), struct.pack("<I", len(content)), content)
    )


@pytest.fixture
def packed():
    """Pack numbers as the stock client does: `(values, n_bits, scale)`."""
    return packed_values


@pytest.fixture
def compressed():
    """The message of a line that is compressed: `(line, n_bits, flag, content)`."""
    return compressed_bytes
