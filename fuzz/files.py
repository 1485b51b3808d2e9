"""Fuzz the readers of files: `python fuzz/files.py OUT [--seconds 600] [--seed 0] [--kinds raw images ...]`.

Small files that are good, and those of `hostile_files`, are changed at random, by a seed, and given to every target of
`file_targets` in a process of its own with little memory. A finding is an exception that the target does not promise, a
process that dies, needs more than 20 s of the processor or more than 1 GB, or reads a file beside the one that it was given.
Files of findings are left in OUT, named by kind, target and what happened.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from file_targets import TARGETS, problem_of
from good_files import GOOD
from hostile_files import ELSEWHERE, HOSTILE, SLOW

from nilatron.core.prior.engines.onnx_file import hash_entry

MEMORY_BYTES, PROCESSOR_S = 1 << 30, 20
MOST_SEED_BYTES = 1 << 18  # larger ones are hostile by their size alone
NUMBERS = (0, 1, 2, 127, 255, 32767, 65535, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
WORDS = (b"", b"-1", b"1e9", b"nan", b"99999999999", b"&e;", b"<!--", b"\xff\xfe", b"[" * 40, b"\0", b'"', b"\\")
Random = np.random.Generator


def flipped_bit(data: bytearray, rng: Random) -> None:
    """One bit."""
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: Random) -> None:
    """The end is gone."""
    del data[int(rng.integers(len(data))) + 1 :]


def hole(data: bytearray, rng: Random) -> None:
    """Some bytes are gone."""
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 200))]


def number(data: bytearray, rng: Random) -> None:
    """A number of 1 to 8 bytes: sizes, counts and addresses among them."""
    size, at = int(rng.choice([1, 2, 4, 8])), int(rng.integers(len(data)))
    order = "little" if rng.random() < 0.8 else "big"
    data[at : at + size] = (NUMBERS[int(rng.integers(len(NUMBERS)))] % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def moved(data: bytearray, rng: Random) -> None:
    """A part of the file in the place of another."""
    size, source, target = int(rng.integers(1, 64)), *(int(n) for n in rng.integers(len(data), size=2))
    data[target : target + size] = data[source : source + size]


def repeated(data: bytearray, rng: Random) -> None:
    """A part of the file many times."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    data[at:at] = data[at : at + size] * int(rng.integers(2, 50))


def word(data: bytearray, rng: Random) -> None:
    """A word of text formats."""
    at = int(rng.integers(len(data)))
    data[at : at + int(rng.integers(6))] = WORDS[int(rng.integers(len(WORDS)))]


CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    flipped_bit,
    cut,
    hole,
    number,
    number,
    moved,
    repeated,
    word,
)


def changed(content: bytes, rng: Random) -> bytes:
    """The content of a file after one to four changes."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if data:
            CHANGES[int(rng.integers(len(CHANGES)))](data, rng)
    return bytes(data)


def rehashed(content: bytes) -> bytes:
    """An ONNX file of ours with a hash that fits: what anyone can write who means harm."""
    body = content[: -len(hash_entry(b""))]
    return body + hash_entry(body)


def seeds(folder: Path, kinds: list[str]) -> list[tuple[str, str, bytes]]:
    """Kind, name and content of the files that are changed."""
    found = []
    for name, (kind, make) in {**GOOD, **HOSTILE}.items():
        own = folder / name
        if kind in kinds and name not in SLOW:
            own.mkdir()
            path = make(own)
            if path.stat().st_size <= MOST_SEED_BYTES:
                found.append((kind, path.name, path.read_bytes()))
            shutil.rmtree(own)
    return found


def verdict(kind: str, place: int, path: Path, *, must_refuse: bool = False) -> str:
    """What a target of a kind does with a file, in a process of its own; empty if it keeps what it promises."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        _be_watched(kind, place, path, write, must_refuse)
    os.close(write)
    deadline, said = time.monotonic() + 3 * PROCESSOR_S, b""
    os.set_blocking(read, False)
    while time.monotonic() < deadline:
        done, status, _ = os.wait4(process, os.WNOHANG)
        with suppress(BlockingIOError):
            said += os.read(read, 1 << 16)
        if done:
            os.close(read)
            return said.decode() if not status else _death(status)
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(read)
    return "hangs"


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"dies of {signal.Signals(-code).name}" if code < 0 else f"ends with code {code}"


def _be_watched(kind: str, place: int, path: Path, write: int, must_refuse: bool) -> None:
    """In the child: call the target and end."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 4 * MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    others = [other for other in path.parent.iterdir() if other != path]
    for other in others:
        os.utime(other, (1, other.stat().st_mtime))
    text = ""
    try:
        problem = problem_of(TARGETS[kind][place], path)
        text = "is taken" if must_refuse and not problem else ""
    except BaseException as error:  # noqa: BLE001 - the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} in {where.name}: {error}"[:300]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if not text and grown > MEMORY_BYTES:
        text = f"takes {grown >> 20} MB"
    if not text and any(other.stat().st_atime != 1 for other in others):
        text = "reads another file"
    os.write(write, text.encode(errors="replace"))
    os._exit(0)


def fuzz(out: Path, kinds: list[str], seconds: float, seed: int) -> Iterator[tuple[str, str]]:
    """Kind and verdict of every finding; one file of each sort is kept in `out`."""
    sorts = Counter[str]()
    n_files = n_calls = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = seeds(folder, kinds)
        (folder / ELSEWHERE).write_bytes(b"swordfish" * 100)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            rng = np.random.default_rng((seed, n_files))
            kind, file_name, content = found[int(rng.integers(len(found)))]
            path = folder / file_name
            content = changed(content, rng)
            path.write_bytes(rehashed(content) if path.suffix == ".onnx" and rng.random() < 0.5 else content)
            for place in range(len(TARGETS[kind])):
                n_calls += 1
                if text := verdict(kind, place, path):
                    sort = f"{kind}-{place}-" + "".join(c if c.isalnum() else "_" for c in text.partition(":")[0])
                    sorts[sort] += 1
                    if sorts[sort] == 1:
                        shutil.copy(path, out / f"{sort}-{n_files}{''.join(path.suffixes)}")
                        yield kind, f"{sort}: {text}"
            path.unlink()
            n_files += 1
    (out / "summary.json").write_text(json.dumps({"files": n_files, "calls": n_calls, "findings": sorts}, indent=1))


def main() -> None:
    """Search until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS))
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    n_findings = 0
    for kind, text in fuzz(words.out, words.kinds, words.seconds, words.seed):
        n_findings += 1
        sys.stdout.write(f"{kind}: {text}\n")
        sys.stdout.flush()
    sys.exit(1 if n_findings else 0)


if __name__ == "__main__":
    main()
