"""The house rules that can be checked: links, layers, mirrored tests, forbidden imports."""

import ast
import re
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("core", "gadgets", "pipelines")
ALLOWED = {
    "core": {"core"},
    "gadgets": {"core", "gadgets"},
    "pipelines": {"core", "gadgets", "pipelines", "xml_configs"},
}
NOT_IN_CORE = {"ismrmrd", "gadgetron", "h5py", "socket", "argparse", "typer", "xml", "defusedxml"}
TOUCHES_FILES = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "mkdir", "unlink", "stat"}
# rooms of `pipelines`, from the ground up: a room imports only from floors below its own
FLOORS = (
    {"wire", "files", "device", "threads", "progress", "log_lines"},
    {"archive", "chain", "importing", "mrd2", "simulation", "training", "report"},
    {"conversation", "prior"},
    {"node", "client", "server", "stream"},
    {"replay"},
    {"demo", "doctor", "check", "python", "batch"},
    {"cli"},
)
pytestmark = pytest.mark.skipif(
    (ROOT / "PKG-INFO").is_file(), reason="an unpacked archive has its sources in src, without the links of a checkout"
)
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


@cache
def imports(path: Path) -> set[str]:
    """Everything that is imported anywhere in the file; of `from a import b` both a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("nilatron", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def import_graph(root: Path) -> dict[str, set[str]]:
    """Each module below `root` with those of them that it imports."""
    paths = {module_name(path, root): path for layer in LAYERS for path in (root / layer).rglob("*.py")}
    return {name: (imports(path) & paths.keys()) - {name} for name, path in paths.items()}


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Groups of modules that import each other; no package counts as importing its own modules."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return [tuple(error.args[1])]
    return []


def upward_arrows(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Imports between rooms of `pipelines` that do not lead to a floor below."""
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

    def room(name: str) -> str:
        return name.removeprefix("nilatron.pipelines.").split(".")[0]

    inside = {name for name in graph if name.startswith("nilatron.pipelines.")}
    return [
        (name, other)
        for name in sorted(inside)
        for other in sorted(graph[name] & inside)
        if room(name) != room(other) and floor_of[room(name)] <= floor_of[room(other)]
    ]


@pytest.mark.parametrize("folder", [*LAYERS, "xml_configs"])
def test_the_import_root_links_home(folder):
    link = ROOT / "src" / "nilatron" / folder
    assert link.is_symlink(), "the checkout lost its links: enable symbolic links (git config core.symlinks true)"
    assert link.readlink() == Path("../..") / folder
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_import_only_downwards(path):
    layer = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "nilatron" and len(parts) > 1:
            assert parts[1] in ALLOWED[layer] | {"__version__"}, f"{layer} imports {name}"
        if layer == "core":
            assert parts[0] not in NOT_IN_CORE, f"core imports {name}"


def test_no_files_import_each_other():
    assert circles(import_graph(ROOT)) == []


def test_rooms_of_pipelines_import_only_from_floors_below():
    assert upward_arrows(import_graph(ROOT)) == []


def test_few_files_lie_directly_in_pipelines():
    assert len(list((ROOT / "pipelines").glob("*.py"))) <= 8


@pytest.mark.parametrize(
    ("files", "circle", "arrows"),
    [
        ({"core/a.py": "from nilatron.core import b", "core/b.py": "from nilatron.core.a import x"}, True, 0),
        ({"core/a.py": "def f():\n    import nilatron.core.b", "core/b.py": "from nilatron.core.a import x"}, True, 0),
        ({"pipelines/wire/a.py": "from nilatron.pipelines.server import b", "pipelines/server/b.py": ""}, False, 1),
        ({"pipelines/node/a.py": "import nilatron.pipelines.client.b", "pipelines/client/b.py": ""}, False, 1),
        ({"pipelines/server/a.py": "from nilatron.pipelines.wire.b import x", "pipelines/wire/b.py": ""}, False, 0),
    ],
)
def test_a_circle_or_an_arrow_that_runs_up_is_found(files, circle, arrows, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = import_graph(tmp_path)
    assert (bool(circles(graph)), len(upward_arrows(graph))) == (circle, arrows)


def test_core_opens_no_files_but_weights():
    for path in (path for path in SOURCES if path.relative_to(ROOT).parts[0] == "core" and path.name != "weights.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
        assert not names & TOUCHES_FILES, path


def test_training_needs_neither_ismrmrd_nor_gadgetron():
    seen, waiting = set(), {"nilatron.pipelines.training.train", "nilatron.pipelines.device"}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = ROOT / (name.removeprefix("nilatron.").replace(".", "/") + ".py")
        if name.startswith("nilatron.") and path.is_file():
            waiting |= imports(path) - seen
    assert not {name.split(".")[0] for name in seen} & {"ismrmrd", "gadgetron", "h5py"}


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_source_has_its_test_file(path):
    relative = path.relative_to(ROOT)
    mirror = ROOT / "tests" / relative.parent / f"test_{relative.name}"
    assert mirror.is_file() or covered_by_its_folder(relative), f"no {mirror.relative_to(ROOT)}"


def covered_by_its_folder(relative: Path) -> bool:
    """Modules whose behaviour is tested through their neighbours; every entry needs its reason."""
    reasons = {
        "pipelines/node/session.py": "exercised by test_entry over a socket",
        "core/errors.py": "only exception classes",
        "core/prior/prior.py": "only data classes and protocols",
        "pipelines/files/raw_scan.py": "only a protocol",
        "gadgets/stock/types.py": "only data classes, exercised by test_against_gadgetron",
    }
    together = {
        ("gadgets", "stock"),
        ("pipelines", "cli"),
        ("pipelines", "mrd2"),
        ("pipelines", "stream"),
        ("pipelines", "wire"),
        ("pipelines", "server"),
        ("pipelines", "training"),
        ("pipelines", "batch"),
        ("pipelines", "importing"),
    }  # tested as a stream, as a program, and from file to file
    room = relative.parts[:2]
    return str(relative) in reasons or (room in together and any((ROOT / "tests").joinpath(*room).glob("test_*.py")))


USES_A_GPU = re.compile(r"""importorskip\("(cupy|tensorrt)"|\.cuda\(\)|, "cuda"\)\.|skipif\(not torch\.cuda""")


def unmarked_gpu_tests(text: str) -> list[str]:
    """Tests of a file that need a GPU, without the marker by which `pytest -m gpu` collects them."""
    found: list[str] = []
    if not any(word in text for word in ("cuda", "cupy", "tensorrt")):
        return found
    for function in (node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)):
        marks = [ast.unparse(mark) for mark in function.decorator_list]
        looked_at = [mark for mark in marks if "skipif" in mark] + [ast.unparse(node) for node in function.body]
        if USES_A_GPU.search("\n".join(looked_at).replace("'", '"')) and "pytest.mark.gpu" not in marks:
            found.append(function.name)
    return found


def test_tests_that_need_a_gpu_are_marked():
    unmarked = {path.name: unmarked_gpu_tests(path.read_text()) for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    assert {name: tests for name, tests in unmarked.items() if tests} == {}


@pytest.mark.parametrize("need", ["pytest.importorskip('cupy')", "x = x.cuda()", "load_prior(path, 'cuda').denoiser"])
def test_an_unmarked_test_that_needs_a_gpu_is_found(need):
    text = f"def test_a():\n    {need}\n"
    assert unmarked_gpu_tests(text) == ["test_a"]
    assert unmarked_gpu_tests(f"@pytest.mark.gpu\n{text}") == []


def test_versions_are_pinned_for_every_dependency():
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    lines = (ROOT / "setup.cfg").read_text().splitlines()
    needed = {line.split(">=")[0].split()[-1] for line in lines if ">=" in line and "python_requires" not in line}
    assert needed - {"cupy-cuda13x", "tensorrt-cu13"} <= pinned


def test_skipped_tests_are_named_with_their_reasons():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    assert "-ra" in options
    recipes = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pytest" in line]
    assert recipes
    assert not any(word in line.split() for line in recipes for word in ("-r", "-rN", "--no-summary", "addopts="))


def test_tools_are_configured_in_one_place():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["mypy"]["strict"]
    assert "error" in tools["pytest"]["ini_options"]["filterwarnings"]
