"""What a process has not imported yet: laws about `sys.modules`, each in an interpreter of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SOURCES = Path(__file__).resolve().parents[1] / "src"
HEAVY = {
    "torch",
    "scipy",
    "pydicom",
    "highdicom",
    "pynetdicom",
    "PIL",
    "matplotlib",
    "lightning_fabric",
    "tensorboardX",
    "nibabel",
    "prometheus_client",
}
DATA = {"numpy", "h5py", "ismrmrd", "gadgetron", "safetensors", "array_api_compat"}

REPORT = """
import json, sys
print()
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
RUN = """
import sys
from nilatron.pipelines.cli import main
sys.argv = argv
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def imported_by(code: str) -> set[str]:
    """Top-level modules in a new interpreter after `code`."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code + REPORT],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*words: str) -> str:
    """Code that runs the command line as a program does, up to its end."""
    return f"argv = {['nilatron', *words]!r}{RUN}"


def test_the_package_itself_imports_nothing():
    assert not imported_by("import nilatron; dir(nilatron); nilatron.__version__") & (HEAVY | DATA)


def test_names_of_the_package_are_imported_when_they_are_used():
    assert "torch" not in imported_by("import nilatron; nilatron.reconstruct; nilatron.replay; nilatron.read_raw")


@pytest.mark.slow
def test_help_and_lists_import_nothing_that_computes():
    commands = [("--help",), ("--version",), ("configs", "list"), ("doctor", "--help"), ("replay", "--help")]
    assert not imported_by("".join(command(*words) for words in commands)) & (HEAVY | DATA)


@pytest.mark.slow
def test_modules_that_do_not_compute_themselves_import_nothing_heavy():
    modules = ("chain.find", "chain.host", "device", "files.images", "files.raw", "node")
    assert (
        not imported_by(f"import nilatron.core.backend, {', '.join(f'nilatron.pipelines.{m}' for m in modules)}")
        & HEAVY
    )


@pytest.mark.slow
def test_arrays_of_numpy_never_ask_for_torch():
    code = (
        "import numpy as np\nfrom nilatron.core import backend\nx = np.ones((2, 3), np.complex64)\n"
        "backend.namespace(x); backend.to_numpy(x); backend.converted_to(x, x); backend.squared_norm(x)\n"
        "backend.complex_normal(np.random.default_rng(0), (2,), x); backend.percentile(abs(x), 50)"
    )
    assert "torch" not in imported_by(code)


@pytest.mark.skipif(sys.platform != "linux", reason="the name of the driver's library is that of Linux")
def test_a_machine_without_a_driver_is_known_without_torch():
    code = (
        "from nilatron.pipelines import device\ndevice.DRIVER = 'no-such-library.so.1'\n"
        "assert device.resolve_device('auto') == device.resolve_device('cpu') == 'cpu'"
    )
    assert "torch" not in imported_by(code)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("imports") / "raw.h5"
    simulate(path, SimulationSettings(matrix=(32, 32, 1), n_coils=2, noise_std=0.05))
    return path


STOP_AT_FIRST_LINE = """
from nilatron.pipelines.files.raw import RawFile
read = RawFile.items

def items(self):
    for item in read(self):
        raise SystemExit(0)
        yield item

RawFile.items = items
"""


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["nila", "l1_wavelet", "cg_sense"])
def test_the_first_line_is_read_before_anything_heavy_is_imported(raw, chain, tmp_path):
    replay = command("replay", str(raw), "-o", str(tmp_path / "images.h5"), "-c", chain, "--device", "cpu")
    assert not imported_by(STOP_AT_FIRST_LINE + replay) & HEAVY


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["zero_filled", "l1_wavelet", "cg_sense"])
def test_chains_without_a_network_never_import_torch(raw, chain, tmp_path):
    replay = command("replay", str(raw), "-o", str(tmp_path / "images.h5"), "-c", chain, "--device", "cpu")
    assert "torch" not in imported_by(replay)
    assert (tmp_path / "images.h5").is_file()


@pytest.mark.slow
def test_weights_are_read_without_the_compiler_of_torch():
    code = "from nilatron.core.prior.edm_weights import DEFAULT_WEIGHTS, load_prior\nload_prior(DEFAULT_WEIGHTS)"
    assert "sympy" not in imported_by(code)  # it comes with the compiler
