"""One scan of a node: its settings, its model made warm while lines arrive, its exit code."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import Context
from nilatron.gadgets.settings import from_properties
from nilatron.pipelines.conversation.conversation import (
    Conversation,
    ConversationSettings,
    Opening,
    Preparation,
    prepare,
)
from nilatron.pipelines.node.watch import Watch
from nilatron.pipelines.wire import Connection, Timeouts

log = logging.getLogger(__name__)

PREFIX = "NILATRON_NODE_"
EXIT_CODES = {"complete": 0, "failed": 3, "peer gone": 4}
WITH_PRIOR = ("nila", "nila_published")


@dataclass(frozen=True)
class NodeSettings:
    """What a site may set for all its nodes, by environment variables NILATRON_NODE_IDLE_S and so on.

    Attributes
    ----------
    device
        auto, cpu or cuda.
    idle_s
        Longest silence of Gadgetron between two items; a whole measurement may pass in front of a bucket.
    message_s
        Longest silence inside an item, and longest wait for Gadgetron to take an image.
    end_s, queue_mib
        As in `ConversationSettings`.
    memory_gib
        That a scan may take; by default what the machine has.
    """

    device: str = "auto"
    idle_s: float = 3600.0
    message_s: float = 60.0
    end_s: float = 30.0
    queue_mib: int = 1024
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        """Refuse times and sizes that are not positive."""
        if min(self.idle_s, self.message_s, self.end_s, self.queue_mib) <= 0 or (self.memory_gib or 1) <= 0:
            raise ValueError("times and sizes must be positive")


def reconstruct(target: str, sock: socket.socket, configuration: bytes, header: bytes, watch: Watch) -> int:
    """Hold the conversation of one scan and close the socket; returns the exit code: 0, 3 (failed) or 4 (peer gone).

    Raises
    ------
    SettingsError
        For environment variables that cannot be used; nothing has been said then.
    """
    settings = settings_from(os.environ)
    connection = Connection(sock, timeouts=Timeouts(settings.message_s, settings.idle_s, settings.end_s))
    conversation = Conversation(connection, target, ConversationSettings(settings.queue_mib, settings.end_s))
    watch.conversation = conversation
    opening = Opening(target, configuration or b"", header)
    report = conversation.hold(lambda: warm(opening, settings))
    return EXIT_CODES[report.outcome]


def settings_from(environment: Mapping[str, str]) -> NodeSettings:
    """Settings of the variables with our prefix.

    Raises
    ------
    SettingsError
        For one that does not exist, or whose value cannot be used.
    """
    values = {name[len(PREFIX) :].lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
    return from_properties(NodeSettings, values, f"environment ({PREFIX}*)")


def warm(opening: Opening, settings: NodeSettings) -> Preparation:
    """The gadget of a scan, after its network, if it has one, has been loaded and run once on an image of that size.

    Raises
    ------
    BadInputError
        For header, configuration or weights that cannot be used.
    """
    gadget, context = prepare(opening, device=settings.device, memory_gib=settings.memory_gib)
    if opening.target in WITH_PRIOR:
        started = time.perf_counter()
        try:
            evaluate_once(context)
        except BadInputError:
            raise
        except (RuntimeError, MemoryError) as error:
            log.warning("the first evaluation of the network failed, others may as well: %s", error)
        log.info("network loaded and run once in %.2f s", time.perf_counter() - started)
    return gadget, context


def evaluate_once(context: Context) -> None:
    """Run the default network on one empty slice of each shape that it will see, which takes memory and chooses kernels."""
    import torch

    from nilatron.core.prior.weights import DEFAULT_WEIGHTS
    from nilatron.core.sampling.image import network_shapes
    from nilatron.gadgets.encoding import kept_width
    from nilatron.gadgets.nila.prior import prior_for

    encoding = context.header.encoding[0]
    shape = (1, int(encoding.encodedSpace.matrixSize.y), kept_width(encoding))
    prior = prior_for(DEFAULT_WEIGHTS, context.device).prior
    for seen in network_shapes(shape):
        prior.estimate(torch.zeros(seen, dtype=torch.complex64, device=context.device), 0.1)
