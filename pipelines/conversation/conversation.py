"""One scan over a connection: items in, images out, and an end that loses nothing.

Success is CLOSE after the last image, and everything read that the other end still sends. Failure is ERROR with a readable
text after the images that could be made, the same reading, and CLOSE.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import ismrmrd

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import Context, Gadget, ScanError
from nilatron.gadgets.known_noise import NOISE_STORED
from nilatron.pipelines.conversation.eager_reader import MIB, EagerReader
from nilatron.pipelines.conversation.end import farewell, keep_alive
from nilatron.pipelines.conversation.terms import (
    DEFAULT_SETTINGS,
    ConversationSettings,
    Opening,
    Outcome,
    Report,
    is_noise_or_waveform,
    sendable,
)
from nilatron.pipelines.wire import (
    Config,
    ConfigName,
    Connection,
    Dicom,
    Error,
    Header,
    ImageArray,
    Message,
    PeerGoneError,
    Query,
    Response,
    Text,
    TruncatedError,
    WireError,
    WireTimeoutError,
)

if TYPE_CHECKING:  # heavy: reading begins before it is imported
    from nilatron.pipelines.chain.host import NodeFactory

__all__ = [
    "Conversation",
    "ConversationSettings",
    "IncompleteError",
    "Opening",
    "Preparation",
    "Report",
    "hold_conversation",
    "prepare",
]

log = logging.getLogger(__name__)

Preparation: TypeAlias = tuple[Gadget, Context]
PASSED = "images that were no raw data, passed on unchanged"


class IncompleteError(RuntimeError):
    """Images are missing, or are not what was asked for."""


def hold_conversation(
    connection: Connection,
    opening: Opening,
    build_node: NodeFactory | None = None,
    device: str = "auto",
    settings: ConversationSettings = DEFAULT_SETTINGS,
) -> Report:
    """Reconstruct one scan with one node; the connection is closed at the end, however it ends.

    Parameters
    ----------
    connection
        Configuration and header have been received.
    opening
        These.
    build_node
        Makes the gadget of a target with its properties; `gadgets.node.build_node` by default.
    device
        "auto", "cpu" or "cuda".
    settings
        Bounds.
    """
    return Conversation(connection, opening.target, settings).hold(lambda: prepare(opening, build_node, device))


def prepare(
    opening: Opening,
    build_node: NodeFactory | None = None,
    device: str = "auto",
    memory_gib: float | None = None,
) -> Preparation:
    """The gadget of a scan, which refuses one that takes more memory than it may, and its context.

    Raises
    ------
    BadInputError
        For header or configuration that cannot be used.
    """
    from nilatron.pipelines.chain.host import default_node
    from nilatron.pipelines.chain.xml import parse_configuration
    from nilatron.pipelines.conversation.memory import GIB, memory_bytes, refuse_above
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.files.header import parse_header

    context = Context(parse_header(opening.header), resolve_device(device))
    text = opening.configuration.strip(b"\0 \r\n\t")
    is_empty = not text or (text.startswith(b"<?xml") and text.find(b"?>") == len(text) - 2)  # Gadgetron's for none
    properties = {} if is_empty else parse_configuration(text, opening.target)
    gadget = (build_node or default_node)(opening.target, properties)
    check = refuse_above(memory_bytes() if memory_gib is None else int(memory_gib * GIB))
    return lambda items, context: gadget(check(items, context), context), context


class Conversation:
    """One scan; `hold` it once.

    Reading begins at once, in a thread of its own.

    Parameters
    ----------
    connection
        Belongs to the conversation from now on.
    name
        Of what reconstructs, for messages.
    settings
        Bounds.
    """

    def __init__(
        self, connection: Connection, name: str = "node", settings: ConversationSettings = DEFAULT_SETTINGS
    ) -> None:
        self.connection, self.name, self.settings = connection, name, settings
        self._started = time.perf_counter()
        self._n_images = self._n_raw = 0
        self._ending = threading.Lock()  # taken once, by the thread that says goodbye
        self._aborted: str | None = None
        keep_alive(connection.socket)
        self.reader = EagerReader(connection.receive_some, settings.queue_mib * MIB)

    @property
    def peer_lost(self) -> bool:
        """Whether the input broke off, so that nobody may be waiting for images."""
        return isinstance(self.reader.problem, PeerGoneError | TruncatedError | WireTimeoutError)

    def hold(self, prepare: Callable[[], Preparation]) -> Report:
        """Make the gadget (while items are already being read), feed it, send the images, end the conversation.

        Exceptions of all kinds become the error of the report, and are told to the other end; those that ask for the
        end of the process (KeyboardInterrupt, SystemExit) are raised again afterwards.
        """
        context, ready_s, error = None, 0.0, None
        stop: BaseException | None = None
        try:
            gadget, context = prepare()
            ready_s = time.perf_counter() - self._started
            log.info("%s is ready after %.2f s", self.name, ready_s)
            for item in gadget(self._items(context), context):
                self._send(item, context)
            self._check(context)
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
        """End the conversation with an error, from any thread, while `hold` is busy in another one.

        Returns whether it was this call that ended it, and the other end took everything.
        """
        if not self._ending.acquire(blocking=False):
            return False
        self._aborted = reason
        return self._say_goodbye(reason, timeout_s) is None

    def _items(self, context: Context) -> Iterator[Any]:
        for message in self.reader:
            if isinstance(message, Error):
                raise ScanError(f"the other end reports an error: {message.text}")
            if isinstance(message, ImageArray):
                raise ScanError(
                    "an ImageArray came, which has been reconstructed already: put this node before the reconstruction "
                    "of the chain, not behind it"
                )
            if isinstance(message, Config | ConfigName | Header | Response | Dicom):
                raise ScanError(f"a {type(message).__name__} message came among the data, where it has no meaning")
            if isinstance(message, Text | Query):
                context.log.counts["texts and queries, ignored"] += 1
                log.info("the other end says: %.500s", message.text)
                continue
            if isinstance(message, ismrmrd.Image):
                context.log.counts[PASSED] += 1
            elif not is_noise_or_waveform(message):
                self._n_raw += 1
            self._note_times(context)
            yield message
        self._note_times(context)

    def _note_times(self, context: Context) -> None:
        context.timing.arrived_s = self.reader.arrived_s
        if self.reader.ended_s is not None:
            context.timing.ended_s = self.reader.ended_s

    def _send(self, item: Any, context: Context) -> None:
        if not isinstance(item, ismrmrd.Image):
            context.log.counts[f"{type(item).__name__} items at the end, not sent"] += 1
            return
        self._say(item)
        self._n_images += 1

    def _say(self, message: Message) -> None:
        if self._aborted is not None:
            raise PeerGoneError(f"the conversation was ended: {self._aborted}")
        self.connection.send(message)

    def _check(self, context: Context) -> None:
        """Refuse to call a scan complete that is not."""
        counts = context.log.counts
        expected, made = counts["images expected"], self._n_images - counts[PASSED]
        problems = list(context.log.problems)
        if counts[PASSED]:
            problems.append(
                f"{counts[PASSED]} images came in and were passed on unchanged: this node reconstructs raw data; put it "
                "before the reconstruction of the chain"
            )
        if made < expected:
            raise IncompleteError(f"only {made} of {expected} images could be made: {'; '.join(problems)}")
        if problems:
            raise IncompleteError("; ".join(problems))
        if self.reader.n_messages == 0:
            raise IncompleteError("no data came between header and CLOSE, so there are no images")
        if self._n_raw and not made:
            found = ", ".join(f"{n} {what}" for what, n in counts.items())
            raise IncompleteError(f"none of the {self._n_raw} items that came gave an image ({found or 'no lines'})")
        if not self._n_images and not counts[NOISE_STORED]:
            log.warning(
                "%s: only noise lines and waveforms came, so there are no images; `nilatron serve --noise-store DIR` keeps "
                "noise for the scans that depend on it",
                self.name,
            )

    def _end(self, error: str | None) -> str | None:
        """End it, unless someone else does; why the other end may not have got everything, None if it has."""
        if not self._ending.acquire(blocking=False):
            return None
        return self._say_goodbye(error, self.settings.end_s)

    def _say_goodbye(self, reason: str | None, timeout_s: float) -> str | None:
        kind = Text if self.settings.errors_as == "text" else Error
        error = None if reason is None else kind.of(sendable(f"nilatron {self.name}: {reason}"))
        try:
            farewell(self.connection, self.reader, error, timeout_s, self.settings.end_mib * MIB)
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
