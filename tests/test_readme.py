"""The README's blocks, run in their order, as a newcomer would type them, in a folder of their own."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
# a comment in the line before a block keeps the test from running it, and says why
BLOCK = re.compile(
    r"(?:^<!-- not run by the test: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>sh|python)\n(?P<text>.*?)^```$", re.M | re.S
)
TIME_LIMIT_S = 300


class Block(NamedTuple):
    """A block of commands, and why the test leaves it out, if it does."""

    kind: str
    text: str
    reason: str | None


def blocks(markdown):
    return [Block(found["kind"], found["text"], found["reason"]) for found in BLOCK.finditer(markdown)]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def newcomer(tmp_path):
    """Runs a block in a folder where `nilatron` is on the path, with ports that nobody else has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "nilatron"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nilatron "$@"\n')
    command.chmod(0o755)
    ports = {"9002": str(free_port()), "9003": str(free_port())}
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NILATRON_SERVE_PORT": ports["9002"],
        "NILATRON_SERVE_HEALTH_PORT": ports["9003"],
    }

    def run(block):
        text = re.sub("9002|9003", lambda found: ports[found[0]], block.text)
        program = ["bash", "-euo", "pipefail", "-c", text] if block.kind == "sh" else [sys.executable, "-c", text]
        return subprocess.run(  # noqa: S603 - the README is ours
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )

    return run


@pytest.mark.slow
def test_the_blocks_run_in_their_order(newcomer, tmp_path):
    for tool in ("bash", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    for block in blocks(README.read_text()):
        if block.reason is None:
            done = newcomer(block)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert {"images.h5", "pictures", "sure.h5", "mine.h5", "served.h5"} <= {path.name for path in tmp_path.iterdir()}


def test_every_block_is_found_and_few_are_left_out():
    text = README.read_text()
    found = blocks(text)
    assert len(found) == text.count("```") // 2
    assert len([block for block in found if block.reason is None]) >= 4
    assert all(len(block.reason) > 10 for block in found if block.reason is not None)


def test_a_file_is_made_before_it_is_read():
    text = "".join(block.text for block in blocks(README.read_text()))
    assert text.index("nilatron simulate") < text.index("nilatron replay")
    assert text.index("nilatron serve") < text.index("--address")


def test_links_lead_to_files_of_the_checkout():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("```sh\na\n```\n", [Block("sh", "a\n", None)]),
        ("<!-- not run by the test: slow -->\n```sh\na\n```\n", [Block("sh", "a\n", "slow")]),
        ("text\n```python\nb\n```\n```sh\nc\n```\n", [Block("python", "b\n", None), Block("sh", "c\n", None)]),
        ("```text\na\n```\n", []),
    ],
)
def test_blocks_and_their_marks(markdown, expected):
    assert blocks(markdown) == expected
