"""What all commands share, and the shipped chains."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nilatron import __version__
from nilatron.core.errors import BadInputError
from nilatron.pipelines import cli
from nilatron.pipelines.cli import with_common_first
from nilatron.pipelines.cli.app import note, output_of, say, say_lines, tell, weights_of

SOURCES = Path(__file__).resolve().parents[3] / "src"


@pytest.mark.slow
def test_configs(command, one_line):
    code, out, _ = command("configs", "list")
    assert code == 0
    described = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert described["cg_sense"] == "Conventional reconstruction: SENSE by conjugate gradients."
    names = list(described)
    assert {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published", "nila_after_gadgetron"} <= set(names)
    code, out, _ = command("configs", "show", "nila")
    assert code == 0
    assert "<configuration>" in out
    code, out, _ = command("configs", "path", "nila")
    assert code == 0
    assert out.strip().endswith("nila.xml")
    code, _, err = command("configs", "show", "nil")
    assert code == 2
    assert "unknown chain 'nil'" in one_line(err)


@pytest.mark.slow
def test_own_chains_are_checked_before_a_server_sees_them(command, one_line, tmp_path):
    shipped = command("configs", "path", "nila_connect")[1].strip()
    assert command("configs", "check", shipped)[::2] == (0, "")
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(Path(shipped).read_text().replace("NoiseAdjustGadget", "NoiseGadget").replace("9002", "many"))
    code, out, err = command("configs", "check", wrong)
    assert (code, out) == (2, "")
    assert "no gadget 'NoiseGadget'" in one_line(err)
    assert "port 'many'" in one_line(err)
    code, _, err = command("configs", "check", tmp_path / "none.xml")
    assert code == 2
    assert "No such file" in one_line(err)


def test_version_and_what_is_missing(command):
    assert command("--version")[:2] == (0, f"{__version__}\n")
    assert command("replay")[0] == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_file_of_output_is_one_line(one_line):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nilatron", "configs", "list"],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert one_line(done.stderr) == "nilatron: output: No space left on device"


@pytest.mark.parametrize(
    "words", [("-V",), ("replay", "-V"), ("configs", "list", "--version"), ("serve", "--port", "1", "-V")]
)
def test_the_version_anywhere(command, words):
    assert command(*words) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("words", [("-h",), ("configs", "-h"), ("configs", "list", "-h"), ("prior", "info", "-h")])
def test_help_anywhere(command, words):
    code, out, _ = command(*words)
    assert code == 0
    assert "Usage:" in out


def test_verbose_anywhere_but_behind_two_dashes():
    assert with_common_first(["replay", "scan.h5", "-v"]) == ["-v", "replay", "scan.h5"]
    assert with_common_first(["check", "--", "-v"]) == ["check", "--", "-v"]
    assert with_common_first(["--verbose", "check", "-V", "--", "-V"]) == ["-v", "-V", "check", "--", "-V"]


@pytest.mark.slow
def test_completion_knows_commands_and_words():
    variables = {"_NILATRON_COMPLETE": "complete_bash", "COMP_CWORD": "2", "PYTHONPATH": str(SOURCES)}
    found = {}
    for text in ("nilatron replay --dev", "nilatron conf"):
        words = variables | {"COMP_WORDS": text, "COMP_CWORD": str(text.count(" "))}
        code = "import sys; sys.argv[0] = 'nilatron'; from nilatron.pipelines.cli import main; main()"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words
        )
        found[text] = done.stdout.split()
    assert found == {"nilatron replay --dev": ["--device"], "nilatron conf": ["configs"]}


@pytest.mark.parametrize(
    ("paths", "output", "expected"),
    [(["a", "b"], None, (["a"], "b")), (["a", "b"], "c", (["a", "b"], "c")), (["a"], None, None), ([], "c", None)],
)
def test_the_output_is_an_option_or_the_last_path(paths, output, expected):
    if expected is None:
        with pytest.raises(BadInputError, match="give images and an output: IMAGES -o OUT"):
            output_of(paths, output, "images")
    else:
        assert output_of(paths, output, "images") == expected


def test_weights_by_argument_or_option():
    assert weights_of("tiny", None) == weights_of(None, "tiny") == weights_of(None, None, "tiny") == "tiny"
    with pytest.raises(BadInputError, match="given twice"):
        weights_of("a", "b")
    with pytest.raises(BadInputError, match="no weights"):
        weights_of(None, None)


def test_only_one_function_prints():
    """What it prints is escaped, so no command can forget that."""
    folder = Path(cli.__file__).parent
    calls = {
        path.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "sys.stdout.write")
    }
    assert calls == {"app.py"}


def test_what_is_said_and_told_is_escaped(capsys):
    say("a\x1b[31m[red]\nb")
    say_lines("a\x1b\r\n\t\u202eb")
    tell("c\x07[bold]\n[/nothing]")
    note("d\x9b1m")
    out, err = capsys.readouterr()
    assert out.splitlines() == [r"a\x1b[31m[red]\nb", r"a\x1b", "\t" + r"\u202eb"]
    assert err.splitlines() == [r"nilatron: c\x07[bold]\n[/nothing]", r"d\x9b1m"]


@pytest.mark.parametrize(
    "words", [("check", "[/red]\x1b[2J"), ("check", "a", "[/bold]\x1b[2J"), ("configs", "show", "[/x]\x1b")]
)
def test_names_of_files_are_no_markup(command, words):
    code, out, err = command(*words)
    assert code == 2
    assert "\x1b" not in out + err
