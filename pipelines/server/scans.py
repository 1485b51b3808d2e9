"""A running scan, as the front sees it: its process, its pipe, its socket, and the last word if the process dies."""

from __future__ import annotations

import json
import logging
import math
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
WANTED_BACK = "a peer of another address needs memory that this scan had beyond the share of its address"
BROKEN_OFF = ("died", "stopped", "failed", "peer gone")


@dataclass
class Scan:
    """One session process.

    Attributes
    ----------
    number
        Of the scan.
    sock, address
        Of the peer; the socket is kept open beside the session's own.
    shared
        What the session lets the front see.
    since_s
        Since when its process has waited for the header of the peer; infinite until it does.
    opened
        Whether its header has come.
    done
        Its last event, None until then.
    kill_reason, stop_reason, stopped_s
        Why its process was ended or told to end, and when it was told so.
    hurried_s
        When it was told to hurry, if it was.
    last_word
        Tells the peer what the process could not.
    refused
        Whether it is only told that there are too many.
    n_expected
        Images that its header announces; 0 until it has come.
    """

    number: int
    sock: socket.socket
    address: str
    shared: SharedState
    child: ChildProcess
    began_s: float = field(default_factory=time.monotonic)
    since_s: float = math.inf
    opened: bool = False
    done: dict[str, Any] | None = None
    worker: SupervisedWorker | None = None
    kill_reason: str | None = None
    stop_reason: str | None = None
    stopped_s: float = 0.0
    hurried_s: float | None = None
    refused: bool = False
    n_expected: int = 0
    last_word: threading.Thread | None = None
    _silently: bool = False

    @classmethod
    def start(
        cls, number: int, sock: socket.socket, address: str, context: ForkServerContext, settings: ServeSettings
    ) -> Scan:
        """Start the session of a new connection.

        Raises
        ------
        OSError
            When the system has nothing left for one.
        """
        memory = context.RawArray("B", SHARED_BYTES)
        ours, theirs = context.Pipe()
        with theirs:
            try:
                process = start(context, f"scan {number}", "session", sock, theirs, memory, settings, number)
            except BaseException:
                ours.close()
                raise
        return cls(number, sock, address, SharedState(memory), ChildProcess(process, ours))

    @property
    def running(self) -> bool:
        """Whether it takes one of the places for scans."""
        return self.opened and not self.refused and self.done is None

    def read(self) -> dict[str, Any] | None:
        """Its next event; None when there will be none any more."""
        try:
            event: dict[str, Any] = json.loads(self.child.control.recv_bytes())
        except (EOFError, OSError):
            return None
        if event["event"] == "started":
            self.since_s = time.monotonic()
        self.opened |= event["event"] in ("opened", "done")
        if event["event"] == "done":
            self.done = event
        return event

    def summary(self) -> dict[str, Any]:
        """How it ended, with the images sent and expected: of a scan that broke off those that its header announces."""
        reason = self.kill_reason or self.stop_reason
        broken_off = "failed" if self.refused else "stopped" if reason else "died"
        done = self.done or {"outcome": broken_off, "error": reason}
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

    def stop(self, reason: str, patience_s: float) -> None:
        """Have the session end with an error; end it where it has not done so after some seconds. May be called again."""
        if self.stop_reason is None:
            self.stop_reason, self.stopped_s = reason, time.monotonic()
            self.send({"stop": reason})
        elif time.monotonic() - self.stopped_s > patience_s:
            self.kill(self.stop_reason)

    def give_back(self, hurry_s: float, patience_s: float) -> None:
        """Have it end soon, without what takes long; stop it where it has not done so after some seconds. Call it again."""
        if self.hurried_s is None:
            self.hurried_s = time.monotonic()
            self.send({"hurry": WANTED_BACK})
        elif time.monotonic() - self.hurried_s > hurry_s:
            self.stop(WANTED_BACK, patience_s)

    def kill(self, reason: str, *, silent: bool = False) -> None:
        """End the process at once; the peer hears the reason, unless this is to be silent."""
        self.kill_reason, self._silently = self.kill_reason or reason, silent
        self.child.process.kill()

    def clean_up(self) -> int | None:
        """Clear away after the process has ended; if it said no end of its own, the front does. Returns the exit code."""
        code = reap(self.child)
        if self._silently:
            self.sock.close()
        elif self.done is None:
            reason = (
                self.kill_reason
                or self.stop_reason
                or f"the process of this scan died (code {code}); images are missing"
            )
            self.last_word = threading.Thread(target=send_error, args=(self.sock, self.shared, reason), daemon=True)
            self.last_word.start()
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
