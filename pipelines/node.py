"""What Gadgetron starts: `<execute name="nilatron.pipelines.node" target="nila" type="python"/>`.

`python -m gadgetron PORT nilatron.pipelines.node TARGET` connects, imports this module and calls TARGET with the connection.
A failing import, like any exception, would end the conversation as a success without images. So nothing that can fail is
imported here, and every failure is sent as an ERROR message before the connection closes.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import Any

ERROR_MESSAGE = 8
log = logging.getLogger(__name__)


def zero_filled(connection: Any) -> None:
    """Adjoint of the density-weighted data."""
    run("zero_filled", connection)


def cg_sense(connection: Any) -> None:
    """CG-SENSE."""
    run("cg_sense", connection)


def l1_wavelet(connection: Any) -> None:
    """l1-wavelet."""
    run("l1_wavelet", connection)


def nila(connection: Any) -> None:
    """Nila in few steps, the default."""
    run("nila", connection)


def nila_published(connection: Any) -> None:
    """Nila as published."""
    run("nila_published", connection)


def run(target: str, connection: Any) -> None:
    """Reconstruct what arrives on a `gadgetron.external.Connection`; the caller closes it.

    Raises
    ------
    BaseException
        Whatever went wrong, after the peer was told.
    """
    os.dup2(2, 1)  # standard output may carry the server's own stream
    try:
        from nilatron.pipelines.node_session import reconstruct

        reconstruct(target, connection)
    except BaseException as error:
        log.exception("%s failed", target)
        send_error(connection, f"nilatron {target}: {type(error).__name__}: {error}")
        raise


def send_error(connection: Any, text: str) -> None:
    """Tell the peer what went wrong, then take in what it still sends: closing with unread input loses what was sent."""
    encoded = text.encode()
    connection.socket.write(struct.pack("<HQ", ERROR_MESSAGE, len(encoded)) + encoded)
    for _ in connection:
        pass
