"""Scans beside each other, too many scans, and an orderly end."""

import os
import re
import signal
from pathlib import Path

import pytest

from nilatron import __version__
from nilatron.pipelines.wire import Close, Config, Error, Text


def test_a_peer_that_vanishes_costs_its_own_scan_only(server, talk, scan):
    header, items = scan
    vanishing = server.connect()
    talk.send(vanishing, "l1_wavelet", (header, items[:10]), close=False)
    server.wait_for("scan begins", chain="l1_wavelet")
    vanishing.close()
    images, errors = talk(server, "cg_sense")
    assert (len(images), errors) == (2, [])
    assert server.wait_for("scan ended", outcome="peer gone")


def test_the_first_line_of_the_log_is_the_version(server):
    first = server.lines[0]
    assert (first["message"], first["version"]) == (f"nilatron {__version__}", __version__)
    assert first["revision"]


def test_health_and_metrics(server, talk):
    talk(server, "cg_sense")
    server.wait_for("scan ended", outcome="complete")
    assert server.get("/healthz")[0] == 200
    assert server.get("/nothing")[0] == 404
    assert server.metric('nilatron_scans_total{outcome="complete"}') >= 1
    assert server.metric("nilatron_images_total") >= 2
    assert server.metric("nilatron_admitted_bytes_limit") > 0
    assert server.metric("nilatron_scan_seconds_count") >= 1


def test_the_front_loads_neither_torch_nor_numpy(server):
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "torch" not in maps
    assert "numpy" not in maps


def test_refusals_say_why_and_sigterm_lets_scans_end(make_server, talk, scan):
    server = make_server("--max-scans", "2", "--grace-s", "2", "--memory-mb", "400")
    header, items = scan
    images, errors = talk(server, "cg_sense", (re.sub("<(x|y)>(32|64)</", r"<\1>4000</", header), items))
    assert not images
    assert "this server has 400 MiB" in errors[0].text
    server.wait_for("scan ended", outcome="refused")
    running = [server.connect() for _ in range(2)]
    for connection in running:
        talk.send(connection, "cg_sense", (header, items[:10]), close=False)
    server.wait_for("scan begins", 2)
    assert server.get("/readyz")[0] == 503
    for asked, kind in (("cg_sense", Text), (Config(b"<configuration/>"), Error)):
        images, errors = talk(server, asked)
        assert not images
        assert type(errors[0]) is kind
        assert "2 scans are running" in errors[0].text
    os.killpg(server.process.pid, signal.SIGTERM)  # as service managers do
    server.wait_for("stopping")
    with pytest.raises(OSError, match="refused"):
        server.connect()
    for item in items[10:]:
        running[0].send(item)
    running[0].send(Close())
    images, errors = talk.replies(running[0])
    assert (len(images), errors) == (2, [])
    images, errors = talk.replies(running[1])  # its scan never ends
    assert not images
    assert "being stopped" in errors[0].text
    assert server.process.wait(60) == 0
