"""One scan in a process of its own: from the first byte of the peer to the last image."""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from nilatron import __version__
from nilatron.core.errors import BadInputError
from nilatron.core.words import counted, message
from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.gadgets.plan.weighed import weighed_header
from nilatron.pipelines.chain.find import Chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.chain.series import series_per_slice
from nilatron.pipelines.conversation.conversation import Conversation, ConversationSettings, Preparation, Report
from nilatron.pipelines.conversation.eager_reader import MIB
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.server import logs
from nilatron.pipelines.server.admission import announced_images
from nilatron.pipelines.server.allowance import MAX_QUEUE_BYTES, Allowance, out_of_memory
from nilatron.pipelines.server.caller import Caller, SharedState
from nilatron.pipelines.server.fire import with_int16_pixels
from nilatron.pipelines.server.metering import LineMeter
from nilatron.pipelines.server.opening import ScanRequest, read_request
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.server.remote import WorkerClient, WorkerLostError
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.site_settings import with_site_settings
from nilatron.pipelines.server.wall import limit_growth, writable_bytes
from nilatron.pipelines.wire import Limits, PeerGoneError, Text, Timeouts, TruncatedError, WireError, WireTimeoutError

log = logging.getLogger(__name__)

ABORT_S = 2.0  # for the other end to say CLOSE, and once more to close the connection
ANSWER_S = 30.0  # of the front, which answers at once unless it is gone
LOOK_S = 1.0  # between looks at a peer that may have hung up
LOST_S = 5.0  # for the reconstruction to notice by itself that it has
OPENING_BYTES = 128 * MIB  # of a session whose scan was not let in yet
LIMITS = Limits(message_bytes=64 * MIB, text_bytes=MIB, config_bytes=MIB, header_bytes=4 * MIB)  # of the opening
BOUNDS = ConversationSettings(queue_mib=MAX_QUEUE_BYTES // MIB)


class RefusedError(BadInputError):
    """The server does not take this scan now."""


@dataclass
class Session:
    """What one scan needs of the server."""

    connection: PeerConnection
    control: Pipe
    settings: ServeSettings
    scan: int = 0
    base_bytes: int = 0  # that the process had mapped when it began
    refusal: str | None = None
    conversation: Conversation | None = None
    hurried: WorkerLostError | None = None  # by the front, which needs the memory for another
    stopped: bool = False  # by the front, or because the peer is gone
    _lost_s: float | None = None  # when it was first seen that the peer is gone
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
        caller = self.connection.shared.caller.name.lower()
        opened = self._ask({"event": "opened", "caller": caller, "failed": request is None})
        self.refusal = opened["refused"]
        self.conversation = Conversation(self.connection, request.chain.name if request else "server", BOUNDS)

        def prepare() -> Preparation:
            with self._failures_told():
                if request is None:
                    raise problem
                return self._prepare(request)

        try:
            return self.conversation.run(prepare)
        finally:
            self.connection.let_in.set()

    def _nothing_came(self, problem: BadInputError) -> bool:
        return isinstance(problem, PeerGoneError) and self.connection.shared.caller is Caller.UNKNOWN

    def _end_empty(self) -> None:
        """End a connection over which nothing was asked for, as health probes make them; they may be gone already."""
        try:
            self.connection.end()
        except WireError as error:
            log.debug("the other end is gone: %s", error)

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Tell the front as soon as something fails, so that the place is free while the peer is told."""
        try:
            yield
        except BaseException as error:
            self.send_event({"event": "failed"})
            self.connection.let_in.set()  # what still comes is read and dropped
            if isinstance(error, MemoryError):
                raise out_of_memory(error) from error
            raise

    def _ask(self, event: dict[str, Any]) -> dict[str, Any]:
        """Send an event to the front and wait for the answer."""
        self.send_event(event)
        return self._answers.get(timeout=ANSWER_S)

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event to the front."""
        self.control.send_bytes(json.dumps(event).encode())

    def handle_orders(self) -> None:
        """Take answers and orders of the front, and look after the peer, for ever (in a thread)."""
        while True:
            try:
                if not self.control.poll(LOOK_S):
                    self._look_at_peer()
                    continue
                order = json.loads(self.control.recv_bytes())
            except (EOFError, OSError):
                os._exit(1)
            if "hurry" in order:
                log.warning("slices that are left become conventional images: %s", order["hurry"])
                self.hurried = WorkerLostError(order["hurry"])
                continue
            if "stop" not in order:
                self._answers.put(order)
                continue
            log.warning("scan is ended: %s", order["stop"])
            self._end_process(order["stop"], "stopped")

    def _look_at_peer(self) -> None:
        """End the process of a scan that nobody waits for, wherever its reconstruction is."""
        why = self.connection.why_gone()
        if not isinstance(why, PeerGoneError | TruncatedError | WireTimeoutError) or self.conversation is None:
            return
        now = time.monotonic()
        self._lost_s = self._lost_s or now
        if now - self._lost_s > LOST_S:
            self._end_process(str(why), "peer gone")

    def _end_process(self, reason: str, outcome: str) -> None:
        self.stopped = True
        if self.conversation is not None and self.conversation.abort(reason, ABORT_S) | (outcome == "peer gone"):
            self.send_event({"event": "done", "outcome": outcome, "error": reason})
        os._exit(1)

    def _prepare(self, request: ScanRequest) -> Preparation:
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        header = weighed_header(parse_header(request.header))
        measurement = getattr(header.measurementInformation, "measurementID", None)
        logs.add_fields(measurement=measurement or "unknown", chain=request.chain.name)
        allowance, address = self._admit(header, request.chain)
        node_factory = partial(build_node, methods=self._worker(address).methods())
        chain, lowered = with_site_settings(request.chain, self.settings)
        log.info("scan begins", extra={"fields": {"caller": request.caller.name.lower()}})
        self._tell_lowered(lowered, request.caller)
        meter = LineMeter(allowance.n_bytes, allowance.extend)

        def gadget(items: Iterable[Any], context: Context) -> Iterator[Any]:
            with self._failures_told():
                images = run_chain(chain, meter(items, context), context, node_factory)
                yield from self.for_fire(images, context) if request.caller is Caller.FIRE else images

        folder = self.settings.noise_store
        store = None if folder is None else NoiseFolder(folder)
        return gadget, Context(header, "cpu", timing=self.connection.timing, noise_store=store)

    def _tell_lowered(self, lowered: list[str], caller: Caller) -> None:
        """A Gadgetron and a stock client would take any text for an error: there the log says it alone."""
        for text in lowered:
            log.warning("%s", text)
            if caller is Caller.FIRE:
                self.connection.send(Text.of(f"WRN {text}"))

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

    def _admit(self, header: Any, chain: Chain) -> tuple[Allowance, str]:
        """Memory that was set aside for the scan, and where its worker is; from now on lines may come.

        Raises
        ------
        RefusedError
            When there is not so much.
        """
        allowance = Allowance.of(header, self._ask, self.base_bytes)
        answer = allowance.ask_first(announced_images(header, series_per_slice(chain)))
        self.refusal = answer["refused"]
        if self.refusal is not None:
            raise RefusedError(self.refusal)
        if self.conversation is not None:
            self.conversation.reader.limit(allowance.queue_bytes)
        self.connection.accept_within(replace(LIMITS, message_bytes=allowance.message_bytes))
        self.connection.let_in.set()
        return allowance, answer["worker"]

    def _worker(self, address: str) -> WorkerClient:
        return WorkerClient(
            address,
            self.settings.worker_wait_s,
            live=lambda: self.connection.live,
            gone=lambda: self.connection.why_gone() or self.hurried,
            queue_wait_s=self.settings.queue_wait_s,
            scan=self.scan,
        )


def main(sock: socket.socket, control: Pipe, memory: Any, settings: ServeSettings, scan: int) -> None:
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
    """
    base_bytes = writable_bytes()
    limit_growth(base_bytes, OPENING_BYTES)
    logs.configure("session", as_json=settings.log_json, verbose=settings.verbose)
    logs.add_fields(scan=scan)
    timeouts = Timeouts(idle_s=settings.idle_s)
    session = Session(PeerConnection(sock, LIMITS, timeouts, SharedState(memory)), control, settings, scan, base_bytes)
    orders = threading.Thread(target=session.handle_orders, name="orders", daemon=True)
    orders.start()
    session.send_event({"event": "started"})
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
