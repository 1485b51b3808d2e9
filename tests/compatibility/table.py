"""Run the compatibility matrix and write docs/compatibility.md: `python tests/compatibility/table.py`."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TABLE = FOLDER.parents[1] / "docs" / "compatibility.md"
ROWS = {
    "F2.01": ("2D slice, fully sampled, noise scan in the stream", "pixels, geometry, count"),
    "F2.02": ("3D, accelerated in both phase-encode directions", "pixels, geometry, count"),
    "F2.03": ("interleaved slices that do not start at 0", "geometry, count"),
    "F2.04": ("repetitions that do not start at 0, also in buckets and buffers", "count, indices"),
    "F2.05": ("averages, as a dimension and as the same line again", "pixels"),
    "F2.06": ("contrasts, phases, sets", "count, indices"),
    "F2.07": ("calibration: embedded (21; 20 and 21), interleaved, separate, counted from 0, external, none", "pixels"),
    "F2.08": ("calibration flags without parallelImaging in the header", "pixels, log"),
    "F2.09": ("partial Fourier at either end, centre beside the middle", "pixels"),
    "F2.10": ("recon matrix larger or smaller, field of view not square", "pixels, geometry"),
    "F2.11": ("oversampling along the readout (2, 1.3, none) and the phase encoding", "pixels"),
    "F2.12": ("asymmetric echo, padded by the chain or not, with and without parallelImaging", "pixels"),
    "F2.13": (
        "noise: of the stream, used by the chain, of a file, none; other dwell time, bandwidth, channels, order; singular",
        "noise level, messages",
    ),
    "F2.14": ("waveforms: none, in between, before, after, alone, with noise alone", "end, count"),
    "F2.15": ("lines read backwards; EPI with ramps, navigators or none; dummies, feedback, surface coil", "pixels, counts"),
    "F2.16": ("flags of the last line missing or early", "count, end"),
    "F2.17": ("half a slice, missing lines, silent channels, values that are not finite", "images, messages"),
    "F2.18": ("several encoding spaces, an empty one, one that the header lacks", "error"),
    "F2.19": ("trajectories off the grid, of header or lines; simultaneous slices", "pixels, error"),
    "F2.20": ("headers: parts missing, unknown elements, NUL, names in any character set, 1 MB, no limits", "end"),
    "F2.21": ("1 to 128 channels, 1 line, 16384 samples, matrix of 1024 squared", "end"),
    "F2.22": ("configuration empty, absent, with unknown names or bad values", "readable error"),
    "F2.23": ("the node fails at import, when made, at the first item, in the middle, after the last image", "error, images"),
    "F2.24": ("the node is killed before, during, after images; SIGTERM", "end, error"),
    "F2.25": ("the peer ends at a boundary, in id, header, data; reset; silence", "end"),
    "F2.26": ("CLOSE without data, data after CLOSE, unknown id, texts and queries in the middle", "end, error"),
    "F2.27": ("slow reader, slow sender, more data than memory may hold", "end, memory"),
    "F2.28": ("eight scans at once, no GPU or one without memory, a killed worker, a queue too long", "count, log"),
    "F2.29": ("uint16, int16, float32, complex64; saturation; more images than an index counts", "pixels, error"),
    "F2.30": ("further series: index, role, scale, geometry, order", "geometry, metadata"),
    "F2.31": ("metadata not ASCII, longer than 64 kB, keys of Gadgetron and FIRE", "metadata"),
    "F2.32": ("replay: existing group, wrong file, server down, its error, no answer", "exit code"),
    "F2.33": ("no identifier of the header in any byte that is sent", "bytes"),
    "F2.34": ("same seed, same bytes; any order of lines", "pixels"),
    "F2.35": ("PyPI gadgetron, ismrmrd, FIRE's client, the stock client, recorded bytes of a C++ server", "pixels, messages"),
    "F2.36": ("layouts of older and foreign writers: heads, samples, headers that leave out what they may", "pixels, error"),
    "F2.37": (
        "positions: even and odd matrices, oblique slices, volumes, fields of view between pixels; directions that are none",
        "position, error",
    ),
    "F2.38": (
        "kind K1: EPI, ramps, both directions, simultaneous slices, trajectories: modelled, refused or told",
        "pixels, exit code",
    ),
    "F2.39": (
        "kind K2: discarded samples, echoes, oversampling there or not, references of other lengths",
        "pixels, exit code",
    ),
    "F2.40": (
        "kind K3: loops in any order, flags early, late or at each line, scans that stop",
        "pixels, exit code",
    ),
    "F2.41": (
        "kind K4: references before, after, in other encodings, counters, modes; frames",
        "pixels, exit code",
    ),
    "F2.42": (
        "kind K5: NaN, other channels or lengths, strange heads, in lines that no image needs and in others",
        "pixels, exit code",
    ),
    "F2.43": (
        "kind K6: fractions, centres, limits, matrices and factors that the lines contradict",
        "pixels, exit code",
    ),
    "F2.44": (
        "kind K8: no trajectory, limits or field of view, metres, compounds, no time stamps; for K7 see F2.37",
        "pixels, exit code",
    ),
    "F2.45": (
        "kind K9: noise in files, orders, channels, places and dwell times of its own; with signal, missing",
        "pixels, exit code",
    ),
}  # fmt: skip
HEAD = """# Compatibility

What a reconstruction inside Gadgetron meets, and what this one does with it. Made by `tests/compatibility/table.py`, which
runs the tests; "partly" and "no" say what is missing.

| row | case | judged by | result | tests |
|---|---|---|---|---|
"""


def tests_by_row() -> dict[str, list[str]]:
    """Names of the tests that claim each row, as the files say."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row":
                        found[ast.literal_eval(mark.args[0])].append(f"{path.stem}::{node.name}")
    return dict(found)


class Results:
    """A pytest plugin: outcomes by row."""

    def __init__(self) -> None:
        self.rows: dict[str, list[str]] = {}
        self.outcomes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def pytest_collection_modifyitems(self, items: list[object]) -> None:
        for item in items:
            self.rows[item.nodeid] = [mark.args[0] for mark in item.iter_markers("row")]

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.when != "call" and report.passed:
            return
        case = report.nodeid.rpartition("::")[2]
        reason = case
        if hasattr(report, "wasxfail"):
            kind, reason = "no", report.wasxfail.removeprefix("reason: ").removeprefix("[NOTRUN] ")
        elif report.skipped:
            kind, reason = "skipped", str(report.longrepr[2]).removeprefix("Skipped: ")
        else:
            kind = "pass" if report.passed else "no"
        for row in self.rows[report.nodeid]:
            self.outcomes[row][kind].add(reason)

    def of(self, row: str) -> str:
        found = self.outcomes[row]
        problems = "; ".join(sorted(found["no"]) + [f"not run: {reason}" for reason in sorted(found["skipped"])])
        if not problems:
            return "pass" if found["pass"] else "no: no test ran"
        return f"partly: {problems}" if found["pass"] else f"no: {problems}"


def main() -> int:
    import pytest

    results = Results()
    code = pytest.main(["-q", "-p", "no:cacheprovider", str(FOLDER), "-m", "row", *sys.argv[1:]], plugins=[results])
    tests = tests_by_row()
    lines = [
        f"| {row} | {case} | {judged} | {results.of(row)} | {', '.join(f'`{name}`' for name in tests[row])} |"
        for row, (case, judged) in ROWS.items()
    ]
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(HEAD + "\n".join(lines) + "\n")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
