"""One scan in a process of its own: from the first byte of the peer to the last image."""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from nilatron import __version__
from nilatron.core.errors import BadInputError
from nilatron.core.words import counted, message
from nilatron.gadgets.items import Context
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import build_node
from nilatron.gadgets.plan.weighed import weighed_header
from nilatron.pipelines.chain.find import Chain, External
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.chain.series import series_per_slice
from nilatron.pipelines.conversation.conversation import Conversation, ConversationSettings, Preparation, Report
from nilatron.pipelines.conversation.eager_reader import MIB
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.server import logs
from nilatron.pipelines.server.admission import announced_images, estimate_bytes
from nilatron.pipelines.server.caller import Caller, SharedState
from nilatron.pipelines.server.fire import with_int16_pixels
from nilatron.pipelines.server.opening import ScanRequest, read_request
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.server.remote import WorkerClient
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.wire import Limits, PeerGoneError, Text, Timeouts, WireError

log = logging.getLogger(__name__)

ABORT_S = 2.0  # for the other end to say CLOSE, and once more to close the connection
ANSWER_S = 30.0  # of the front, which answers at once unless it is gone
LIMITS = Limits(message_bytes=2048 * MIB)
BOUNDS = ConversationSettings(queue_mib=256)


UNLIMITED = ("0", "0.0")  # of a time budget that a chain leaves open


class RefusedError(BadInputError):
    """The server does not take this scan now."""


@dataclass
class Session:
    """What one scan needs of the server."""

    connection: PeerConnection
    control: Pipe
    settings: ServeSettings
    refusal: str | None = None
    conversation: Conversation | None = None
    stopped: bool = False  # by the front
    _answers: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)

    def run(self) -> Report | None:
        """Take part in the whole conversation; None when nothing was asked for."""
        problem: BadInputError = RefusedError("nothing was asked for")
        request: ScanRequest | None = None
        try:
            request = read_request(self.connection, self.settings.config_dirs, every_client_is_fire=self.settings.fire)
        except BadInputError as error:
            problem = error
        if request is None and (isinstance(problem, RefusedError) or self._nothing_came(problem)):
            self._end_empty()
            return None
        self.send_event({"event": "opened", "caller": self.connection.shared.caller.name.lower()})
        self.conversation = Conversation(self.connection, request.chain.name if request else "server", BOUNDS)

        def prepare() -> Preparation:
            if request is None:
                raise problem
            return self._prepare(request)

        return self.conversation.run(prepare)

    def _nothing_came(self, problem: BadInputError) -> bool:
        return isinstance(problem, PeerGoneError) and self.connection.shared.caller is Caller.UNKNOWN

    def _end_empty(self) -> None:
        """End a connection over which nothing was asked for, as health probes make them; they may be gone already."""
        try:
            self.connection.end()
        except WireError as error:
            log.debug("the other end is gone: %s", error)

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event to the front."""
        self.control.send_bytes(json.dumps(event).encode())

    def handle_orders(self) -> None:
        """Take answers and orders of the front, for ever (in a thread)."""
        while True:
            try:
                order = json.loads(self.control.recv_bytes())
            except (EOFError, OSError):
                os._exit(1)
            if "stop" not in order:
                self._answers.put(order)
                continue
            self.stopped = True
            log.warning("scan is ended: %s", order["stop"])
            if self.conversation is not None and self.conversation.abort(order["stop"], ABORT_S):
                self.send_event({"event": "done", "outcome": "stopped"})
            os._exit(1)

    def _prepare(self, request: ScanRequest) -> Preparation:
        header, address = weighed_header(parse_header(request.header)), ""
        measurement = getattr(header.measurementInformation, "measurementID", None)
        logs.add_fields(measurement=measurement or "unknown", chain=request.chain.name)
        if self.refusal is None:
            self.refusal, address = self._admit(header, request.chain)
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        node_factory = partial(build_node, methods=self._worker(address).methods())
        chain = with_site_settings(request.chain, self.settings)
        log.info("scan begins", extra={"fields": {"caller": request.caller.name.lower()}})

        def gadget(items: Iterable[Any], context: Context) -> Iterator[Any]:
            images = run_chain(chain, items, context, node_factory)
            return self.for_fire(images, context) if request.caller is Caller.FIRE else images

        folder = self.settings.noise_store
        store = None if folder is None else NoiseFolder(folder)
        return gadget, Context(header, "cpu", timing=self.connection.timing, noise_store=store)

    def for_fire(self, images: Iterable[Any], context: Context) -> Iterator[Any]:
        """Images as FIRE shows them; problems go into the scanner's log as they arise."""
        self._tell_if_verbose(f"nilatron {__version__}")
        n_told, n_images = 0, Counter[int]()
        for image in with_int16_pixels(images, context):
            n_images[image.image_series_index] += 1
            for problem in context.log.problems[n_told:]:
                self.connection.send(Text.of(f"WRN {message(problem)}"))
            n_told = len(context.log.problems)
            yield image
        for series, n in sorted(n_images.items()):
            self._tell_if_verbose(f"series {series}: {counted(n, 'image')}")

    def _tell_if_verbose(self, text: str) -> None:
        if self.settings.verbose:
            self.connection.send(Text.of(f"DBG {text}"))

    def _admit(self, header: Any, chain: Chain) -> tuple[str | None, str]:
        """Why the scan is not taken, if it is not, and where its worker is."""
        n_bytes = estimate_bytes(header, BOUNDS.queue_mib * MIB)
        n_expected = announced_images(header, series_per_slice(chain))
        self.send_event({"event": "admit", "bytes": n_bytes, "expected": n_expected})
        answer = self._answers.get(timeout=ANSWER_S)
        return answer["refused"], answer["worker"]

    def _worker(self, address: str) -> WorkerClient:
        return WorkerClient(
            address,
            self.settings.worker_wait_s,
            live=lambda: self.connection.live,
            gone=lambda: self.connection.gone,
        )


def with_site_settings(chain: Chain, settings: ServeSettings) -> Chain:
    """The chain with the server's time budgets and engine, where it has none of its own and its targets know them."""
    given = {name: getattr(settings, name) for name in ("scan_budget_s", "slice_budget_s")}
    ours = {name: f"{value:g}" for name, value in given.items() if value is not None}
    if settings.engine is not None:
        ours["engine"] = settings.engine
    stream = list(chain.stream)
    for place, node in enumerate(stream):
        if isinstance(node, External) and node.target in METHODS:
            known = {setting.name for setting in fields(METHODS[node.target].settings_class)}
            own = {name: text for name, text in node.properties.items() if text.strip() not in UNLIMITED}
            properties = node.properties | {name: ours[name] for name in (known & ours.keys()) - own.keys()}
            stream[place] = replace(node, properties=properties)
    return replace(chain, stream=tuple(stream))


def main(
    sock: socket.socket, control: Pipe, memory: Any, settings: ServeSettings, scan: int, refusal: str | None
) -> None:
    """Be one session.

    Parameters
    ----------
    sock
        Of the peer; the front keeps it open as well, to have the last word if this process dies.
    control
        Events to the front, answers and orders from it.
    memory
        Behind `SharedState`.
    settings
        Of the server.
    scan
        Number of the scan, for logs.
    refusal
        Why this scan is not taken, if it is not.
    """
    logs.configure("session", as_json=settings.log_json, verbose=settings.verbose)
    logs.add_fields(scan=scan)
    timeouts = Timeouts(idle_s=settings.idle_s)
    session = Session(PeerConnection(sock, LIMITS, timeouts, SharedState(memory)), control, settings, refusal)
    orders = threading.Thread(target=session.handle_orders, name="orders", daemon=True)
    orders.start()
    report = session.run()
    if session.stopped:
        orders.join()  # it says the last words, and ends this process
    if report is None:
        session.send_event({"event": "done", "outcome": "empty"})
        return
    session.send_event(
        {
            "event": "done",
            "outcome": "refused" if session.refusal else report.outcome,
            "images": report.n_images,
            "expected": report.n_expected,
            "error": report.error,
            "fall_backs": report.counts.get("fall-backs", 0),
            "seconds": report.seconds,
        }
    )
