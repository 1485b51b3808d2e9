"""Fuzz the readers of files: `python fuzz/files.py OUT [--seconds 600] [--seed 0] [--kinds raw images ...]`.

Small files that are good, and those of `hostile`, are changed at random, by a seed, and given to every target of
`file_targets` in a process with little memory. A finding is an exception that the target does not promise, a
process that dies, needs more than 20 s of the processor or more than 1 GB, or reads a file beside the one that it was given.
Files of findings are left in OUT, named by kind, target and what happened.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from file_targets import TARGETS, problem_of
from good_jobs import GOOD
from hostile import ELSEWHERE, HOSTILE, SLOW

from nilatron.core.prior.engines.onnx.file import hash_entry

MEMORY_BYTES, PROCESSOR_S = 1 << 30, 20
CASES, SUMMARY = Path(__file__).parents[1] / "tests/compatibility/found_files.json", "summary.json"
BATCH = 40  # files of one process, which is cheaper than one for each
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

    def call(say: Callable[[str], None]) -> None:
        say(outcome(kind, place, path, must_refuse=must_refuse))

    lines, death = watched(call)
    return death or lines[-1]


def watched(work: Callable[[Callable[[str], None]], None]) -> tuple[list[str], str]:
    """Lines that `work` says in a process of its own, which has little memory, and what the process died of, if it did."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 4 * MEMORY_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        warnings.simplefilter("ignore")
        work(lambda text: void(os.write(write, (text.replace("\n", " ") + "\n").encode(errors="replace"))))
        os._exit(0)
    os.close(write)
    said, is_silent = b"", False
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], 3 * PROCESSOR_S)[0]:
            if not (part := pipe.read(1 << 16)):
                break
            said += part
        else:
            is_silent = True
            os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    death = "hangs" if is_silent else f"dies of {signal.Signals(-code).name}" if code < 0 else "ends" if code else ""
    return said.decode(errors="replace").splitlines(), death


def void(_: object) -> None:
    """Nothing."""


def outcome(kind: str, place: int, path: Path, *, must_refuse: bool = False) -> str:
    """What a target does with a file in this process; empty if it keeps what it promises."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + PROCESSOR_S, resource.RLIM_INFINITY))
    others = [other for other in path.parent.iterdir() if other != path]
    for other in others:
        os.utime(other, (1, other.stat().st_mtime))
    try:
        problem = problem_of(TARGETS[kind][place], path)
    except BaseException as error:  # noqa: BLE001 - the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {where.name}: {error}"[:300]
    if must_refuse and not problem:
        return "is taken"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used.ru_maxrss) << 10
    if grown > MEMORY_BYTES:
        return f"takes {grown >> 20} MB"
    return "reads another file" if any(other.stat().st_atime != 1 for other in others) else ""


@dataclass
class Fuzzer:
    """Files by number: the same number gives the same file, as long as the seeds are the same."""

    folder: Path
    found: list[tuple[str, str, bytes]]
    seed: int

    def file(self, number: int) -> tuple[str, Path]:
        """Kind and path of a changed file, which is written."""
        rng = np.random.default_rng((self.seed, number))
        kind, name, content = self.found[int(rng.integers(len(self.found)))]
        path, content = self.folder / name, changed(content, rng)
        path.write_bytes(rehashed(content) if path.suffix == ".onnx" and rng.random() < 0.5 else content)
        return kind, path

    def findings(self, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Number, target and what happened, of files from `first` to `last`; a process that dies is replaced."""
        while first < last:

            def work(say: Callable[[str], None], first: int = first) -> None:
                for number in range(first, last):
                    kind, path = self.file(number)
                    for place in range(len(TARGETS[kind])):
                        say(f"{number} {place}")
                        say(outcome(kind, place, path))
                    path.unlink()

            lines, death = watched(work)
            if death and len(lines) % 2:
                lines.append(death)
            for begun, text in zip(lines[::2], lines[1::2], strict=False):
                number, place = map(int, begun.split())
                if text:
                    yield number, place, text
            first = number + 1 if lines else last


def fuzz(out: Path, kinds: list[str], seconds: float, seed: int) -> Iterator[tuple[str, str]]:
    """Kind and verdict of every finding; one file of each sort is kept in `out`."""
    sorts, n_files = Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = seeds(folder, kinds)
        (folder / ELSEWHERE).write_bytes(b"swordfish" * 100)
        fuzzer, ends = Fuzzer(folder, found, seed), time.monotonic() + seconds
        while time.monotonic() < ends:
            for number, place, text in fuzzer.findings(n_files, n_files + BATCH):
                kind, path = fuzzer.file(number)
                sort = f"{kind}-{place}-" + "".join(c if c.isalnum() else "_" for c in text.partition(":")[0])
                sorts[sort] += 1
                if sorts[sort] == 1:
                    shutil.copy(path, out / f"{sort}-{number}{''.join(path.suffixes)}")
                    yield kind, f"{sort}: {text}"
                path.unlink()
            n_files += BATCH
            (out / SUMMARY).write_text(json.dumps({"files": n_files, "findings": sorts}, indent=1))


def keep(out: Path) -> None:
    """Add the findings of a folder to the cases of the tests."""
    cases = {case["name"]: case for case in json.loads(CASES.read_text())}
    for path in sorted(out.iterdir()):
        if path.name != SUMMARY:
            content = base64.b85encode(zlib.compress(path.read_bytes(), 9)).decode()
            cases[path.name] = {"name": path.name, "kind": path.name.partition("-")[0], "content": content}
    CASES.write_text(json.dumps(list(cases.values()), indent=1) + "\n")


def main() -> None:
    """Search until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=sorted(TARGETS), default=sorted(TARGETS))
    parser.add_argument(
        "--keep", action="store_true", help="add the findings in OUT to the cases of the tests, and stop"
    )
    words = parser.parse_args()
    if words.keep:
        keep(words.out)
        return
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
