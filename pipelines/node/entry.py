"""Entry points of the node that Gadgetron starts by `<execute name="nilatron.pipelines.node" target="nila" .../>`.

`python -m gadgetron PORT nilatron.pipelines.node TARGET` connects, imports this module and calls TARGET with the connection.
A failing import, like any exception, would end the conversation as a success without images. So nothing that can fail is
imported here, and every failure is sent as an ERROR message before the connection closes.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from nilatron.pipelines.node.watch import Watch, send_error

log = logging.getLogger(__name__)


def zero_filled(connection: Any) -> None:
    """Zero-filled images."""
    run("zero_filled", connection)


def cg_sense(connection: Any) -> None:
    """CG-SENSE images."""
    run("cg_sense", connection)


def l1_wavelet(connection: Any) -> None:
    """Images regularised by the l1 norm of wavelet coefficients."""
    run("l1_wavelet", connection)


def nila(connection: Any) -> None:
    """Nila images with a few steps, the default."""
    run("nila", connection)


def nila_published(connection: Any) -> None:
    """Images of Nila as published."""
    run("nila_published", connection)


def run(target: str, connection: Any) -> None:
    """Reconstruct the scan of a `gadgetron.external.Connection`, end the connection, and end the process.

    The exit code is 0, 3 when the reconstruction failed, or 4 when the peer was lost. The peer gets an error message if it
    can be reached.
    """
    os.dup2(2, 1)  # standard output may carry the server's own stream
    sock: socket.socket = connection.socket.socket
    watch = Watch(sock, target)
    code = 3
    try:
        from nilatron.pipelines.threads import calm_threads

        calm_threads()  # before torch is loaded
        from nilatron.pipelines.node.session import reconstruct

        code = reconstruct(target, sock, connection.raw_bytes.config, connection.raw_bytes.header, watch)
    except BaseException as error:
        log.exception("%s failed", target)
        send_error(sock, f"nilatron {target}: {type(error).__name__}: {error}")
    finally:
        watch.stop()
        logging.shutdown()
        # without cleaning up: Gadgetron waits for this process, torch takes a second to end, and the package would CLOSE again
        os._exit(code)
