"""Seconds from a scan's last line to its images: a raw file sent over loopback to a warm server, as fast as it was acquired.

    python benchmarks/latency.py ../shared/data/raw/brain_8ch_R4.h5 --turns 5

Starts a server, sends the scan once so that everything has been used, then `turns` times. Lines leave at the pace of their
time stamps (2.5 ms a tick), or, where the file has none, one every `--line-ms`.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ismrmrd

from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.wire import Close, Config, Connection, Header

TICK_S = 2.5e-3


def start_server(options: list[str]) -> tuple[subprocess.Popen[str], int]:
    """A warm server and its port."""
    command = [sys.executable, "-m", "nilatron", "serve", "--port", "0", "--health-port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    port = 0
    for line in process.stderr or ():
        entry = json.loads(line) if line.startswith("{") else {"message": line}
        port = entry.get("port", port)
        if "worker is ready" in entry["message"]:
            break
    threading.Thread(target=lambda: list(process.stderr or ()), daemon=True).start()
    return process, port


def due_times(items: list[Any], line_s: float) -> list[float]:
    """When each item leaves, in seconds after the first."""
    stamps = [int(getattr(item, "acquisition_time_stamp", 0)) for item in items]
    if len(set(stamps)) > 1:
        return [max(0, stamp - stamps[0]) * TICK_S for stamp in stamps]
    return [number * line_s for number in range(len(items))]


def turn(port: int, configuration: Config, header: bytes, items: list[Any], due: list[float]) -> dict[int, float]:
    """Seconds from the last line to the last image of each series."""
    arrived: dict[int, float] = {}
    with Connection(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.send(configuration)
        connection.send(Header(header))

        def listen() -> None:
            for message in connection:
                if isinstance(message, ismrmrd.Image):
                    arrived[message.image_series_index] = time.perf_counter()

        listener = threading.Thread(target=listen)
        listener.start()
        began = time.perf_counter()
        for item, due_s in zip(items, due, strict=True):
            time.sleep(max(0.0, began + due_s - time.perf_counter()))
            connection.send(item)
        last_line = time.perf_counter()
        connection.send(Close())
        listener.join()
    return {series: moment - last_line for series, moment in arrived.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--target", default="nila")
    parser.add_argument("--series", default="conventional,nila", help="in the order in which they leave")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--line-ms", type=float, default=5.0)
    parser.add_argument("--serve", nargs=argparse.REMAINDER, default=[], help="options of the server")
    arguments = parser.parse_args()
    with open_raw(arguments.raw) as raw:
        header, items = raw.header_bytes, list(raw.items())
    properties = {"target": arguments.target, "series": arguments.series}
    settings = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items() if value)
    configuration = Config.of(f"<configuration>{settings}</configuration>")
    due = due_times(items, arguments.line_ms / 1e3)
    server, port = start_server(arguments.serve)
    try:
        results = [turn(port, configuration, header, items, due) for _ in range(arguments.turns + 1)][1:]
    finally:
        server.terminate()
        server.wait()
    names = {1: "main image", 2: "conventional image", 101: "uncertainty"}
    print(f"{len(items)} lines in {due[-1]:.2f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for series in sorted(results[0], key=lambda key: results[0][key]):
        seconds = [result[series] for result in results]
        print(
            f"{names.get(series, series):20} {statistics.median(seconds):6.2f} s after the last line "
            f"(median of {len(seconds)}, {min(seconds):.2f} to {max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
