"""Children of the server: forked from one process that has imported everything, and gone when their parent is gone.

The standard library's fork server does the forking, so a new session costs milliseconds and shares the memory of all
modules; the front itself imports none of them. Every child reads a pipe from the front and leaves when that ends, however
the front has died; the fork server leaves after the last of them. If the fork server dies, the kernel ends its children.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

PARTS = {"session": "nilatron.pipelines.server.session", "worker": "nilatron.pipelines.server.worker"}
_PR_SET_PDEATHSIG = 1


def fork_context() -> ForkServerContext:
    """The fork server of this process; it starts with the first child.

    torch would load `torch._dynamo` with the first network, which takes seconds of every worker's start.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["__main__", "nilatron.pipelines.server.fork_server", *PARTS.values(), "torch._dynamo"]
    )
    return context


def start(context: ForkServerContext, name: str, part: str, *args: Any) -> ForkServerProcess:
    """Start a child that runs `main(*args)` of a part of the server; sockets and pipes among the arguments are handed over.

    The part is given by name, for this process does not import it.

    Raises
    ------
    OSError
        When the system has nothing left for it, or the fork server ends meanwhile, which starts anew with the next child.
    """
    process = context.Process(target=_child, args=(PARTS[part], args), name=name)
    try:
        process.start()
    except EOFError as error:
        raise ConnectionResetError("the fork server ended before the process had begun") from error
    return process


def _child(module: str, args: tuple[Any, ...]) -> None:
    die_with_parent()
    # a terminal or a service manager signals the whole group: the front alone decides who goes, and when
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(2, 1)  # nothing that a library prints may end up in a stream
    importlib.import_module(module).main(*args)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux; elsewhere nothing happens)."""
    parent = os.getppid()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent or parent == 1:
        os._exit(1)
