"""How the server is, over HTTP on loopback: /healthz, /readyz, /metrics."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, make_wsgi_app

from nilatron import __version__

log = logging.getLogger(__name__)

HEALTH_HOST = "127.0.0.1"
MAX_CONNECTIONS = 32
PAUSE_S = 0.5  # of accepting, where the system has no descriptor left
STALE_S = 15.0  # without a turn of the front's loop it counts as stuck


class Metrics:
    """What is counted; written by the front, read by HTTP threads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        Info("nilatron", "The server.", registry=registry).info({"version": __version__})
        self.scans = Counter("nilatron_scans", "Scans that have ended, by how.", ["outcome"], registry=registry)
        self.active = Gauge("nilatron_scans_active", "Scans that run.", registry=registry)
        self.scan_seconds = Histogram(
            "nilatron_scan_seconds", "From connection to end.", registry=registry,
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000),
        )  # fmt: skip
        self.images = Counter("nilatron_images", "Images that were sent.", registry=registry)
        self.missing = Counter("nilatron_images_missing", "Images that were expected and not sent.", registry=registry)
        self.fall_backs = Counter(
            "nilatron_fall_backs", "Slices whose image was replaced by the conventional one.", registry=registry
        )
        self.memory = Gauge("nilatron_admitted_bytes", "Memory that the running scans may need.", registry=registry)
        self.memory_limit = Gauge("nilatron_admitted_bytes_limit", "And may need at most.", registry=registry)
        self.worker_up = Gauge("nilatron_worker_up", "Whether a worker is ready.", ["worker"], registry=registry)
        self.worker_restarts = Counter(
            "nilatron_worker_restarts",
            "Times that a worker ended and was started again.",
            ["worker"],
            registry=registry,
        )
        self.waiting = Gauge("nilatron_slices_waiting", "Slices in a worker's queue.", ["worker"], registry=registry)
        self.working = Gauge("nilatron_slices_working", "Whether a worker is busy.", ["worker"], registry=registry)
        self.slices = Counter("nilatron_slices", "Slices of workers, by result.", ["result"], registry=registry)
        self.slice_seconds = Histogram("nilatron_slice_seconds", "In a worker, without waiting.", registry=registry)
        self.slice_waits = Histogram("nilatron_slice_wait_seconds", "In a worker's queue.", registry=registry)

    def count(self, done: Mapping[str, Any], seconds: float) -> None:
        """A scan has ended so, after so many seconds."""
        self.scans.labels(done["outcome"]).inc()
        self.scan_seconds.observe(seconds)
        self.images.inc(done.get("images", 0))
        self.missing.inc(max(0, done.get("expected", 0) - done.get("images", 0)))
        self.fall_backs.inc(done.get("fall_backs", 0))


class Health:
    """The HTTP server, in threads of its own.

    Parameters
    ----------
    port
        On loopback; 0 takes a free one.
    metrics
        For /metrics.
    obstacles
        Why the server is not ready for scans; nothing when it is.
    """

    def __init__(self, port: int, metrics: Metrics, readiness_problems: Callable[[], list[str]]) -> None:
        self._metrics, self._obstacles = make_wsgi_app(metrics.registry), readiness_problems
        self._last_beat_s = time.monotonic()
        self._server = _Server((HEALTH_HOST, port), _Quiet)
        self._server.set_app(self._answer)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def heartbeat(self) -> None:
        """The front's loop has made a turn."""
        self._last_beat_s = time.monotonic()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = self._metrics(environ, start_response)
            return page
        if path not in ("/healthz", "/readyz"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz, /readyz, /metrics\n"]
        problems = self._stuck() + (self._obstacles() if path == "/readyz" else [])
        status = "503 Service Unavailable" if problems else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"ok": not problems, "version": __version__, "problems": problems}).encode() + b"\n"]

    def _stuck(self) -> list[str]:
        silent_s = time.monotonic() - self._last_beat_s
        return [f"the front has not moved for {silent_s:.0f} s"] if silent_s > STALE_S else []


class _Server(ThreadingHTTPServer, WSGIServer):
    """A thread a connection; where there are too many, the oldest one is ended."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._open: dict[Any, None] = {}
        self._changing = threading.Lock()
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        """Accept, with a pause where the system has nothing left."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(PAUSE_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own."""
        with self._changing:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > MAX_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Peers that leave early are no news."""
        del request
        log.debug("%s was not answered", client_address, exc_info=True)


class _Handler(ServerHandler):
    server_software = "nilatron"


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        log.debug(format, *args)
