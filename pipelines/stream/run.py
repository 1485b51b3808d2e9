"""One scan from a stream to a stream: reconstructed by a chain, or only converted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ismrmrd

from nilatron.core.errors import BadInputError
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.words import counted
from nilatron.gadgets.items import Context
from nilatron.gadgets.plan.weighed import weighed_header
from nilatron.pipelines.chain.find import Chain, load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.conversation.account import IncompleteError, ScanAccount
from nilatron.pipelines.conversation.eager_reader import MIB, EagerReader
from nilatron.pipelines.conversation.memory import memory_bytes, refuse_above
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.noise_file import noise_origin
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.mrd2.items import PHASES
from nilatron.pipelines.mrd2.schema import Model
from nilatron.pipelines.stream.noise import NoiseTap, with_noise
from nilatron.pipelines.stream.recorded import open_noise
from nilatron.pipelines.wire import Message, UnsendableError, WireError

log = logging.getLogger(__name__)

NAME = "stream"


class IncomingEnd(Protocol):
    """Where a scan comes from: `v1.Incoming` or `v2.Incoming`."""

    header: bytes
    left_out: Counter[str]

    def receive_some(self) -> Sequence[Message]:
        """The next messages, CLOSE at the end."""


class OutgoingEnd(Protocol):
    """Where images go: `v1.Outgoing` or `v2.Outgoing`."""

    def begin(self, header: bytes) -> None:
        """Write the header."""

    def send(self, message: Message) -> None:
        """Write an item."""

    def end(self) -> None:
        """Write the end."""


@dataclass(frozen=True)
class StreamSettings:
    """What to do with a stream.

    Attributes
    ----------
    chain
        A shipped chain's name, or a file.
    properties
        Over those of the chain's own node.
    noise
        File with the noise in place of the scan's own: a raw file, a stream, or a noise covariance of MRD v2.
    noise_out
        File for the covariance of the noise lines that come.
    noise_store
        Folder with the noise of other measurements.
    seed, device, weights
        As in a replay.
    queue_mib
        Memory in MiB for what was read and waits; when it is full, the stream has to wait.
    """

    chain: str = "nila"
    properties: Mapping[str, str] = field(default_factory=dict)
    noise: Path | None = None
    noise_out: Path | None = None
    noise_store: Path | None = None
    seed: int = 0
    device: str = "cpu"
    weights: Path = DEFAULT_WEIGHTS
    queue_mib: int = 1024


@dataclass(frozen=True)
class StreamReport:
    """What came of a stream.

    Attributes
    ----------
    n_items, n_sent
        Items that came, and that were written.
    failure
        Why it is not complete; None where it is.
    broken
        Whether that is because the incoming stream broke off.
    """

    n_items: int
    n_sent: int
    failure: str | None = None
    broken: bool = False


def reconstruct(incoming: IncomingEnd, outgoing: OutgoingEnd, settings: StreamSettings) -> StreamReport:
    """Reconstruct a scan: its header is written first, then each image as soon as it is made, then the end.

    Images that were made before a failure are written, and so is the end.

    Raises
    ------
    BadInputError
        When the header, the chain, its properties or the weights cannot be used; there are no images.
    OutputError
        When nobody reads the output any more, or the disk is full.
    """
    chain = load_chain(settings.chain)
    header = weighed_header(parse_header(incoming.header))
    with _noise_of(settings) as noise, _whole(outgoing, incoming.header):
        context = Context(
            header,
            resolve_device(settings.device),
            settings.seed,
            noise_store=None if settings.noise_store is None else NoiseFolder(settings.noise_store),
            noise_file=None if noise is None else noise_origin(noise),
        )
        reader = EagerReader(incoming.receive_some, settings.queue_mib * MIB)
        account, tap, n_sent = ScanAccount(reader, NAME), NoiseTap(), 0
        items: Iterator[Any] = tap.watch(account.items(context), header)
        if noise is not None:
            items = with_noise(items, noise, header)
        images = _images(chain, items, context, settings)
        failure, broken = None, False
        try:
            for image in images:
                outgoing.send(image)
                n_sent += 1
            _tell_left_out(incoming.left_out, context)
            if settings.noise_out is not None:
                _write_noise(tap, settings.noise_out, context, getattr(incoming, "model", None))
            account.check(context, n_sent)
        except (BadInputError, IncompleteError) as error:
            failure, broken = str(error), reader.problem is not None
        log.info("%s of %d expected", counted(n_sent, "image"), context.log.counts["images expected"])
        return StreamReport(reader.n_messages, n_sent, failure, broken)


def convert(incoming: IncomingEnd, outgoing: OutgoingEnd, settings: StreamSettings) -> StreamReport:
    """Pass every item on as it is, in the format of the output; what that has no place for is left out, and told.

    Raises
    ------
    BadInputError
        When the output has no place for the header.
    OutputError
        When nobody reads the output any more, or the disk is full.
    """
    with _whole(outgoing, incoming.header):
        reader = EagerReader(incoming.receive_some, settings.queue_mib * MIB)
        n_sent, left_out = 0, Counter[str]()
        failure, broken = None, False
        try:
            for item in reader:
                try:
                    outgoing.send(item)
                    n_sent += 1
                except UnsendableError as error:
                    left_out[f"{type(item).__name__} items: {error}"] += 1
        except WireError as error:
            failure, broken = str(error), True
        left_out.update(incoming.left_out)
        for what, count in left_out.items():
            log.warning("left out: %d %s", count, what)
        return StreamReport(reader.n_messages, n_sent, failure, broken)


@contextmanager
def _whole(outgoing: OutgoingEnd, header: bytes) -> Iterator[None]:
    """Block between header and end of the output; after a failure of the output itself there is no end to write."""
    outgoing.begin(header)
    try:
        yield
    except OutputError:
        raise
    except BaseException:
        outgoing.end()
        raise
    outgoing.end()


def _write_noise(tap: NoiseTap, path: Path, context: Context, model: Model | None) -> None:
    try:
        tap.write(path, context, model)
    except OutputError as error:  # of this file; the stream itself goes on to its end
        raise IncompleteError(str(error)) from error


def _noise_of(settings: StreamSettings) -> Any:
    return nullcontext() if settings.noise is None else open_noise(settings.noise)


def _images(chain: Chain, items: Iterator[Any], context: Context, settings: StreamSettings) -> Iterator[ismrmrd.Image]:
    from nilatron.gadgets.node import build_node

    return run_chain(
        chain,
        refuse_above(memory_bytes())(items, context),
        context,
        lambda target, properties: build_node(target, {**properties, **settings.properties}, settings.weights),
    )


def _tell_left_out(left_out: Counter[str], context: Context) -> None:
    for what, count in left_out.items():
        if what == PHASES:
            context.log.problem(log, f"{count} {what}")
        else:
            context.log.counts[what] += count
            log.warning("left out: %d %s", count, what)
