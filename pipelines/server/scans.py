"""A running scan, as the front sees it: its process, its pipe, its socket, and the last word if the process dies."""

from __future__ import annotations

import json
import logging
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from typing import Any

from nilatron.pipelines.server.caller import SHARED_BYTES, SharedState, error_and_close
from nilatron.pipelines.server.processes import start
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.supervision import ChildProcess, SupervisedWorker, reap

log = logging.getLogger(__name__)

SEND_ERROR_S = 10.0
BROKEN_OFF = ("died", "stopped", "failed", "peer gone")


@dataclass
class Scan:
    """One session process.

    Attributes
    ----------
    number
        Of the scan.
    sock
        Of the peer, kept open beside the session's own.
    shared
        What the session lets the front see.
    opened
        Whether its header has come.
    done
        Its last event, None until then.
    refused
        Whether it is only told that there are too many.
    n_expected
        Images that its header announces; 0 until it has come.
    """

    number: int
    sock: socket.socket
    shared: SharedState
    child: ChildProcess
    began_s: float = field(default_factory=time.monotonic)
    opened: bool = False
    done: dict[str, Any] | None = None
    worker: SupervisedWorker | None = None
    kill_reason: str | None = None
    refused: bool = False
    n_expected: int = 0

    @classmethod
    def start(
        cls, number: int, sock: socket.socket, context: ForkServerContext, settings: ServeSettings, refusal: str | None
    ) -> Scan:
        """Start the session of a new connection."""
        memory = context.RawArray("B", SHARED_BYTES)
        ours, theirs = context.Pipe()
        process = start(context, f"scan {number}", "session", sock, theirs, memory, settings, number, refusal)
        theirs.close()
        return cls(number, sock, SharedState(memory), ChildProcess(process, ours), refused=refusal is not None)

    def read(self) -> dict[str, Any] | None:
        """Its next event; None when there will be none any more."""
        try:
            event: dict[str, Any] = json.loads(self.child.control.recv_bytes())
        except (EOFError, OSError):
            return None
        self.opened |= event["event"] in ("opened", "done")
        if event["event"] == "done":
            self.done = event
        return event

    def summary(self) -> dict[str, Any]:
        """How it ended, with the images sent and expected: of a scan that broke off those that its header announces."""
        done = self.done or {"outcome": "stopped" if self.kill_reason else "died", "error": self.kill_reason}
        summary = {"images": self.shared.images, "expected": 0} | done
        if summary["outcome"] in BROKEN_OFF:
            summary["expected"] = max(summary["images"], summary["expected"], self.n_expected)
        return summary

    def send(self, order: dict[str, Any]) -> None:
        """An answer or an order."""
        try:
            self.child.control.send_bytes(json.dumps(order).encode())
        except OSError:
            log.debug("scan %d is gone already", self.number)

    def kill(self, reason: str) -> None:
        """End the process at once; the peer hears the reason."""
        self.kill_reason = self.kill_reason or reason
        self.child.process.kill()

    def clean_up(self) -> int | None:
        """Clear away after the process has ended; if it said no end of its own, the front does. Returns the exit code."""
        code = reap(self.child)
        if self.done is None:
            reason = self.kill_reason or f"the process of this scan died (code {code}); images are missing"
            threading.Thread(target=send_error, args=(self.sock, self.shared, reason)).start()
        else:
            self.sock.close()
        return code


def send_error(sock: socket.socket, shared: SharedState, reason: str) -> None:
    """Error and CLOSE, and reading until the peer has closed; a reset where a message was cut, so that it looks like none."""
    with sock:
        words = error_and_close(shared, f"nilatron: {reason}")
        try:
            if words is None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            sock.settimeout(SEND_ERROR_S)
            sock.sendall(words)
            sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + SEND_ERROR_S
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            while (left_s := deadline - time.monotonic()) > 0 and poll.poll(1000 * left_s):
                if not sock.recv(1 << 18):
                    return
        except OSError as error:
            log.warning("the peer could not be told that its scan has failed: %s", error)
