"""Entry points of the node that Gadgetron starts by `<execute name="nilatron.pipelines.node" target="nila" .../>`.

`python -m gadgetron PORT nilatron.pipelines.node TARGET` connects, imports this module and calls TARGET with the connection.
A failing import, like any exception, would end the conversation as a success without images. So nothing that can fail is
imported here, and every failure is sent as an ERROR message before the connection closes. Whatever else the launcher asks for
as TARGET is a function as well, which says what there is.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from nilatron.pipelines.node.watch import Watch, send_error

log = logging.getLogger(__name__)

LAUNCHER = "gadgetron.__main__"
TARGETS = ("nila", "nila_published", "l1_wavelet", "cg_sense", "zero_filled")


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
        from nilatron.pipelines.log_lines import escape_logs
        from nilatron.pipelines.threads import calm_threads

        calm_threads()  # before torch is loaded
        escape_logs()
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


def __getattr__(name: str) -> Callable[[Any], None]:
    """A function that refuses the target `name`; only for the launcher, so that all others get AttributeError.

    The launcher would end the connection as after success.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if name.startswith("__") or getattr(main, "name", None) != LAUNCHER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(refuse, name)


def refuse(target: str, connection: Any) -> None:
    """Tell the peer of a `gadgetron.external.Connection` that there is no such target, and end the process with exit code 3."""
    os.dup2(2, 1)
    reason = f'nilatron has no target {target!r}; expected target="..." with one of {", ".join(TARGETS)}'
    log.error("%s", reason)
    send_error(connection.socket.socket, reason)
    logging.shutdown()
    os._exit(3)
