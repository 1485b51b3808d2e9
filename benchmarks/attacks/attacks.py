"""What a hostile peer may try; each attack runs until it is told to stop, and says what it has seen."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import ismrmrd
from ismrmrd.xsd import ToXML
from server import ATTACKER, PATIENCE_S, Server

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Config, Connection, Header, Text, Timeouts, WireError, encode

SLOW = SimulationSettings(matrix=(256, 256, 1), n_coils=8, n_slices=1, acceleration=2, calibration_lines=24)
SMALL = SimulationSettings(matrix=(64, 64, 1), n_coils=1, n_slices=1, acceleration=2, calibration_lines=16)


@dataclass(frozen=True)
class Attack:
    """An attack with the options of the server that it is for; `run(server, stop)` returns its figure."""

    run: Callable[[Server, threading.Event], str]
    options: tuple[str, ...] = ()


def properties(**values: object) -> Config:
    """Configuration of a node."""
    lines = "".join(f'<property name="{name}" value="{value}"/>' for name, value in values.items())
    return Config.of(f"<configuration>{lines}</configuration>")


def made(settings: SimulationSettings) -> tuple[str, list[ismrmrd.Acquisition]]:
    """Header and lines."""
    header, items = simulate_items(settings)
    return ToXML(header), [item for item in items if isinstance(item, ismrmrd.Acquisition)]


def bytes_of(*messages: object) -> bytes:
    """Messages as they are sent."""
    return b"".join(bytes(part) for message in messages for part in encode(message))


def asked(server: Server, configuration: Config, header: str, lines: list[ismrmrd.Acquisition]) -> tuple[str, float]:
    """Send a scan and wait for what is said about it: the last text, and after how many seconds."""
    began, said = time.monotonic(), "no error"
    try:
        with Connection(server.connect(), timeouts=Timeouts(PATIENCE_S, PATIENCE_S, 5)) as connection:
            for message in (configuration, Header.of(header), *lines, Close()):
                connection.send(message)
            for message in connection:
                if not isinstance(message, ismrmrd.Image):
                    said = message.text
    except (OSError, WireError) as error:
        said = f"broken off: {error}"
    return said[:90], time.monotonic() - began


def steps(server: Server, stop: threading.Event) -> str:
    """A schedule of so many steps that the list of its levels fills the memory."""
    header, lines = made(SMALL)
    said, seconds = asked(server, properties(steps=30_000_000), header, lines)
    stop.wait(PATIENCE_S)
    return f"answered after {seconds:.1f} s: {said}"


def iterations(server: Server, stop: threading.Event) -> str:
    """An l1-wavelet reconstruction without end."""
    header, lines = made(SMALL)
    said, seconds = "no answer", 0.0

    def ask() -> None:
        nonlocal said, seconds
        said, seconds = asked(server, properties(target="l1_wavelet", iterations=1_000_000_000), header, lines)

    threading.Thread(target=ask, daemon=True).start()
    stop.wait(PATIENCE_S)
    return f"{said} ({seconds:.1f} s)"


def hang_up(server: Server, stop: threading.Event) -> str:
    """A scan of a thousand steps a slice whose peer hangs up after CLOSE, and how long it holds the worker."""
    header, lines = made(SLOW)
    since, began = len(server.log), time.monotonic()
    asking = properties(target="nila_published", steps=1000, slice_budget_s=1e6, series="conventional,nila")
    with server.connect() as sock:
        sock.sendall(bytes_of(asking, Header.of(header), *lines, Close()))
        time.sleep(0.5)
    try:
        server.wait_for("scan ended", since, 100)
        text = f"scan ended {time.monotonic() - began:.1f} s after the peer had hung up"
    except TimeoutError:
        text = "still held after 100 s"
    stop.wait(PATIENCE_S)
    return text


def hold_worker(server: Server, stop: threading.Event) -> str:
    """Scans of a thousand steps a slice whose peers wait, with a budget of their own that the site does not allow."""
    header, lines = made(SLOW)
    asking = properties(target="nila_published", steps=1000, slice_budget_s=1e9)
    socks = [server.connect() for _ in range(4)]
    for sock in socks:
        sock.sendall(bytes_of(asking, Header.of(header), *lines, Close()))
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return "4 scans"


def hold_memory(server: Server, stop: threading.Event) -> str:
    """Scans that begin and never end, until all memory is set aside for them."""
    header, lines = made(SLOW)
    socks = [server.connect() for _ in range(6)]
    for sock in socks:
        sock.sendall(bytes_of(properties(), Header.of(header), *lines[:5]))
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return f"{len(socks)} scans"


def beyond_the_header(server: Server, stop: threading.Event) -> str:
    """Lines of 128 channels in 400 slices under a header of one channel and one slice."""
    header, lines = made(SMALL)
    n_samples = lines[0].number_of_samples
    sent, said = 0, "nothing"
    line = ismrmrd.Acquisition()
    line.resize(n_samples, 128)
    line.center_sample = n_samples // 2
    try:
        with Connection(server.connect(), timeouts=Timeouts(20, 20, 5)) as connection:
            connection.send(properties())
            connection.send(Header.of(header.replace("<x>64<", "<x>512<").replace("<y>64<", "<y>512<")))
            for number in range(400):
                line.idx.slice = number
                line.idx.kspace_encode_step_1 = 32
                connection.send(line)
                sent += line.data.nbytes
            connection.send(Close())
            for message in connection:
                said = getattr(message, "text", "an image")
                if stop.is_set():
                    break
    except (OSError, WireError) as error:
        said = said if said != "nothing" else str(error)
    stop.wait(PATIENCE_S)
    return f"{sent >> 20} MiB sent: {said[:90]}"


def huge_lines(server: Server, stop: threading.Event) -> str:
    """Lines of 512 MiB under a header of one small slice."""
    header, _ = made(SMALL)
    head = ismrmrd.AcquisitionHeader()
    head.version, head.number_of_samples, head.active_channels, head.available_channels = 1, 65535, 1024, 1024
    piece, sent = bytes(1 << 20), 0
    try:
        with server.connect() as sock:
            sock.settimeout(10)
            sock.sendall(bytes_of(properties(), Header.of(header)))
            for _ in range(6):
                sock.sendall(struct.pack("<H", 1008) + bytes(head))
                for _ in range(512):
                    if stop.is_set():
                        return f"{sent} MiB taken"
                    sock.sendall(piece)
                    sent += 1
                sock.sendall(bytes(65535 * 1024 * 8 - (512 << 20))) if 65535 * 1024 * 8 > 512 << 20 else None
    except OSError as error:
        stop.wait(PATIENCE_S)
        return f"{sent} MiB taken, then {error}"
    stop.wait(PATIENCE_S)
    return f"{sent} MiB taken"


def negative_channels(server: Server, stop: threading.Event) -> str:
    """A header with -1000 channels, whose estimate makes room for everything."""
    header, lines = made(SMALL)
    said, seconds = asked(
        server, properties(), re.sub("<receiverChannels>.*?<", "<receiverChannels>-1000<", header), lines
    )
    stop.wait(PATIENCE_S)
    return f"{said} ({seconds:.1f} s)"


def giant_header(server: Server, stop: threading.Event) -> str:
    """Headers of 31 MiB with millions of elements, four at once."""
    header, _ = made(SMALL)
    filling = "<userParameters>" + "<a/>" * (31 << 18) + "</userParameters>"
    whole = header.replace("</ismrmrdHeader>", filling + "</ismrmrdHeader>")
    said: list[tuple[str, float]] = []
    threads = [
        threading.Thread(target=lambda: said.append(asked(server, properties(), whole, [])), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    stop.wait(PATIENCE_S)
    slowest = max((seconds for _, seconds in said), default=PATIENCE_S)
    return f"slowest answer after {slowest:.1f} s: {said[0][0] if said else 'none'}"


def idle_health(server: Server, stop: threading.Event) -> str:
    """Connections to the health port that say nothing, renewed as they are closed."""
    socks = connections(server.health_port, 1100)
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return f"{len(socks)} connections, {len(server.log)} log lines"


def silent(server: Server, stop: threading.Event) -> str:
    """Connections to the scan port that say nothing."""
    socks = connections(server.port, 1100)
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return f"{len(socks)} connections, {len(server.log)} log lines"


def one_byte(server: Server, stop: threading.Event) -> str:
    """Connections that begin a configuration and never finish it."""
    socks = connections(server.port, 48)
    for sock in socks:
        try:
            sock.sendall(b"\2\0\0")
        except OSError:
            continue
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return f"{len(socks)} connections, {len(server.log)} log lines"


def refused(server: Server, stop: threading.Event) -> str:
    """Silent peers beyond the number of scans stay, while those that held the scans leave."""
    socks = connections(server.port, 48)
    time.sleep(3)
    for sock in socks[:16]:
        sock.close()
    time.sleep(1)
    stop.wait(PATIENCE_S)
    for sock in socks:
        sock.close()
    return f"{len(socks)} connections"


def texts(server: Server, stop: threading.Event) -> str:
    """A flood of texts among the data."""
    header, lines = made(SMALL)
    text, n_sent = Text.of("x" * 500), 0
    try:
        with Connection(server.connect(), timeouts=Timeouts(10, 10, 5)) as connection:
            connection.send(properties())
            connection.send(Header.of(header))
            connection.send(lines[0])
            while not stop.is_set():
                connection.send(text)
                n_sent += 1
                time.sleep(0.0002)
    except (OSError, WireError):
        stop.wait(PATIENCE_S)
    return f"{n_sent} texts, {len(server.log)} log lines"


def connections(port: int, n: int) -> list[socket.socket]:
    """As many as can be had."""
    socks = []
    for _ in range(n):
        try:
            socks.append(socket.create_connection(("127.0.0.1", port), timeout=2, source_address=(ATTACKER, 0)))
        except OSError:
            break
    return socks


ATTACKS = {
    "steps": Attack(steps),
    "iterations": Attack(iterations),
    "hang_up": Attack(hang_up),
    "hold_worker": Attack(hold_worker, ("--slice-budget-s", "30")),
    "hold_memory": Attack(hold_memory),
    "beyond_the_header": Attack(beyond_the_header),
    "huge_lines": Attack(huge_lines),
    "negative_channels": Attack(negative_channels),
    "giant_header": Attack(giant_header),
    "idle_health": Attack(idle_health),
    "silent": Attack(silent),
    "one_byte": Attack(one_byte),
    "refused": Attack(refused),
    "texts": Attack(texts),
}
