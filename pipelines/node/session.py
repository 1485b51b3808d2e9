"""One scan of a node: settings from the environment, loading the network while lines arrive, and the exit code."""

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
    """Settings of a site for all its nodes, from environment variables NILATRON_NODE_IDLE_S and so on.

    Attributes
    ----------
    device
        auto, cpu or cuda.
    idle_s
        Longest pause of Gadgetron between two items; it may be a whole measurement before a bucket.
    message_s
        Longest pause inside an item, and longest time until Gadgetron receives an image.
    end_s, queue_mib
        As in `ConversationSettings`.
    memory_gib
        Memory that a scan may take; by default that of the machine.
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
    """Reconstruct one scan and close the socket; returns the exit code: 0, 3 (failed) or 4 (peer gone).

    Raises
    ------
    SettingsError
        For environment variables that cannot be used; nothing has been sent then.
    """
    settings = settings_from(os.environ)
    connection = Connection(sock, timeouts=Timeouts(settings.message_s, settings.idle_s, settings.end_s))
    conversation = Conversation(connection, target, ConversationSettings(settings.queue_mib, settings.end_s))
    watch.conversation = conversation
    opening = Opening(target, configuration or b"", header)
    report = conversation.run(lambda: prepare_warm(opening, settings))
    return EXIT_CODES[report.outcome]


def settings_from(environment: Mapping[str, str]) -> NodeSettings:
    """Settings from the environment variables with our prefix.

    Raises
    ------
    SettingsError
        For a variable that is no setting, or whose value cannot be used.
    """
    values = {name[len(PREFIX) :].lower(): text for name, text in environment.items() if name.startswith(PREFIX)}
    return from_properties(NodeSettings, values, f"environment ({PREFIX}*)")


def prepare_warm(opening: Opening, settings: NodeSettings) -> Preparation:
    """Gadget and context of a scan; the network, if there is one, has been loaded and run once on images of the right size.

    Raises
    ------
    BadInputError
        When header, configuration or weights cannot be used.
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
    """Run the default network on an empty slice of each shape that it will see, so that memory and kernels are ready."""
    import torch

    from nilatron.core.prior.weights import DEFAULT_WEIGHTS
    from nilatron.core.sampling.image import network_shapes
    from nilatron.gadgets.encoding import kept_width
    from nilatron.gadgets.nila.prior import prior_for

    encoding = context.header.encoding[0]
    shape = (1, int(encoding.encodedSpace.matrixSize.y), kept_width(encoding))
    prior = prior_for(DEFAULT_WEIGHTS, context.device).prior
    for network_shape in network_shapes(shape):
        prior.estimate(torch.zeros(network_shape, dtype=torch.complex64, device=context.device), 0.1)
