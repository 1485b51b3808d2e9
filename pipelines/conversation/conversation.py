"""One scan over a connection: receives items, sends images, and ends so that nothing is lost.

After success, CLOSE follows the last image. After a failure, ERROR with a readable text follows the images that could be
made, and then CLOSE. In both cases the rest of the input is read before the connection is closed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import ismrmrd

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import Context, Gadget
from nilatron.pipelines.conversation.account import IncompleteError, ScanAccount
from nilatron.pipelines.conversation.eager_reader import MIB, EagerReader
from nilatron.pipelines.conversation.end import end_connection, keep_alive
from nilatron.pipelines.conversation.types import (
    DEFAULT_SETTINGS,
    ConversationSettings,
    Opening,
    Outcome,
    Report,
    sendable,
)
from nilatron.pipelines.wire import (
    Connection,
    Error,
    PeerGoneError,
    Text,
    TruncatedError,
    WireError,
    WireTimeoutError,
)

if TYPE_CHECKING:  # a slow import, which must not delay the reading
    from nilatron.pipelines.chain.host import NodeFactory

__all__ = [
    "Conversation",
    "ConversationSettings",
    "IncompleteError",
    "Opening",
    "Preparation",
    "Report",
    "prepare",
    "run_conversation",
]

log = logging.getLogger(__name__)

Preparation: TypeAlias = tuple[Gadget, Context]


def run_conversation(
    connection: Connection,
    opening: Opening,
    build_node: NodeFactory | None = None,
    device: str = "auto",
    settings: ConversationSettings = DEFAULT_SETTINGS,
) -> Report:
    """Reconstruct one scan with one node; the connection is closed at the end in any case.

    Parameters
    ----------
    connection
        Connection from which configuration and header have been received.
    opening
        This configuration and header.
    build_node
        Function that builds the gadget from target and properties; `gadgets.node.build_node` by default.
    device
        "auto", "cpu" or "cuda".
    settings
        Limits of the conversation.
    """
    return Conversation(connection, opening.target, settings).run(lambda: prepare(opening, build_node, device))


def prepare(
    opening: Opening,
    build_node: NodeFactory | None = None,
    device: str = "auto",
    memory_gib: float | None = None,
) -> Preparation:
    """Gadget and context of a scan; the gadget refuses a scan that needs more than `memory_gib`.

    Raises
    ------
    BadInputError
        When header or configuration cannot be used.
    """
    from nilatron.gadgets.plan.weighed import weighed_header
    from nilatron.pipelines.chain.host import default_node
    from nilatron.pipelines.chain.xml import parse_configuration
    from nilatron.pipelines.conversation.memory import GIB, memory_bytes, refuse_above
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.files.header import parse_header

    context = Context(weighed_header(parse_header(opening.header)), resolve_device(device))
    text = opening.configuration.strip(b"\0 \r\n\t")
    # without a configuration Gadgetron sends the XML declaration alone
    is_empty = not text or (text.startswith(b"<?xml") and text.find(b"?>") == len(text) - 2)
    properties = {} if is_empty else parse_configuration(text, opening.target)
    gadget = (build_node or default_node)(opening.target, properties)
    check = refuse_above(memory_bytes() if memory_gib is None else int(memory_gib * GIB))
    return lambda items, context: gadget(check(items, context), context), context


class Conversation:
    """One scan over a connection; `run` may be called once.

    Reading begins at once, in a thread of its own.

    Parameters
    ----------
    connection
        Connection, which belongs to the conversation from now on.
    name
        Name of the reconstruction, for messages.
    settings
        Limits of the conversation.
    """

    def __init__(
        self, connection: Connection, name: str = "node", settings: ConversationSettings = DEFAULT_SETTINGS
    ) -> None:
        self.connection, self.name, self.settings = connection, name, settings
        self._started = time.perf_counter()
        self._n_images = 0
        self._ending = threading.Lock()  # acquired once, by the thread that ends the connection
        self._aborted: str | None = None
        keep_alive(connection.socket)
        self.reader = EagerReader(connection.receive_some, settings.queue_mib * MIB)
        self._account = ScanAccount(self.reader, name)

    @property
    def peer_lost(self) -> bool:
        """Whether the input broke off, so that the peer may no longer wait for images."""
        return isinstance(self.reader.problem, PeerGoneError | TruncatedError | WireTimeoutError)

    def run(self, prepare: Callable[[], Preparation]) -> Report:
        """Prepare the gadget (items are already being read), reconstruct, send the images and end the connection.

        Every exception is sent to the peer as an error and becomes the error of the report. KeyboardInterrupt and
        SystemExit are then raised again.
        """
        context, ready_s, error = None, 0.0, None
        stop: BaseException | None = None
        try:
            gadget, context = prepare()
            ready_s = time.perf_counter() - self._started
            log.info("%s is ready after %.2f s", self.name, ready_s)
            for item in gadget(self._account.items(context), context):
                self._send(item, context)
            self._account.check(context, self._n_images)
        except (BadInputError, IncompleteError) as problem:
            error = str(problem)
        except BaseException as problem:
            log.exception("%s failed", self.name)
            error = f"{type(problem).__name__}: {problem}"
            stop = None if isinstance(problem, Exception) else problem
        report = self._report(self._end(error), error, context, ready_s)
        log.log(
            logging.INFO if report.outcome == "complete" else logging.ERROR,
            "%s: %s, %d of %d images from %d items%s",
            self.name,
            report.outcome,
            report.n_images,
            report.n_expected,
            report.n_items,
            f": {report.error}" if report.error else "",
        )
        if stop is not None:
            raise stop
        return report

    def abort(self, reason: str, timeout_s: float = 5.0) -> bool:
        """End the conversation with an error, from another thread than that of `run`.

        Returns whether this call has ended it and the peer has received everything.
        """
        if not self._ending.acquire(blocking=False):
            return False
        self._aborted = reason
        return self._end_connection(reason, timeout_s) is None

    def _send(self, item: Any, context: Context) -> None:
        if not isinstance(item, ismrmrd.Image):
            context.log.counts[f"{type(item).__name__} items at the end, not sent"] += 1
            return
        if self._aborted is not None:
            raise PeerGoneError(f"the conversation was ended: {self._aborted}")
        self.connection.send(item)
        self._n_images += 1

    def _end(self, error: str | None) -> str | None:
        """End the connection, unless another thread does; returns why the peer may lack data, or None."""
        if not self._ending.acquire(blocking=False):
            return None
        return self._end_connection(error, self.settings.end_s)

    def _end_connection(self, reason: str | None, timeout_s: float) -> str | None:
        kind = Text if self.settings.errors_as == "text" else Error
        error = None if reason is None else kind.of(sendable(f"nilatron {self.name}: {reason}"))
        try:
            end_connection(self.connection, self.reader, error, timeout_s, self.settings.end_mib * MIB)
        except WireError as problem:
            return str(problem)
        return None

    def _report(self, lost: str | None, error: str | None, context: Context | None, ready_s: float) -> Report:
        outcome: Outcome = "complete" if error is None else "failed"
        if self._aborted is not None:
            outcome, error = "failed", self._aborted
        if lost is not None:
            outcome, error = "peer gone", "; ".join(part for part in (error, lost) if part)
        counts = {} if context is None else dict(context.log.counts)
        return Report(
            outcome=outcome,
            error=error,
            n_items=self.reader.n_messages,
            n_images=self._n_images,
            n_expected=counts.get("images expected", 0),
            peak_queue_bytes=self.reader.peak_bytes,
            seconds=time.perf_counter() - self._started,
            ready_s=ready_s,
            counts=counts,
            problems=() if context is None else tuple(context.log.problems),
        )
