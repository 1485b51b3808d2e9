"""What `import nilatron` offers: names, what they cost, and their types in a user's script."""

import subprocess
import sys
from pathlib import Path

import pytest

import nilatron

SOURCES = Path(__file__).resolve().parents[1] / "src"

SCRIPT = """
import numpy as np
import numpy.typing as npt

import nilatron

kspace: npt.NDArray[np.complex64] = np.zeros((8, 64, 64), np.complex64)
result = nilatron.reconstruct(kspace, noise=np.eye(8), uncertainty=True, steps=4, virtual_coils=None)
image: npt.NDArray[np.complex64] = result.image
print(image.shape, result.chi2, result.provenance["sampler"], [entry.sigma for entry in result.entries])

images = nilatron.replay("scan.h5", "cg_sense", pixel_type="complex64")
if not images.complete:
    print(images.problems)
for one in images.of("conventional"):
    print(one.pixels.shape, one.metadata["nilatron_chi2"], one.role)

scan: nilatron.RawScan = nilatron.read_raw("scan.h5")
first = scan.slices[0]
maps = nilatron.espirit_maps(first.kspace, (1, 64, 64))
operator = nilatron.SenseOperator(maps, first.counts)
data = operator.data(first.kspace)
prior: nilatron.Denoiser = nilatron.load_prior("tiny")
print(nilatron.sample_images(prior, operator, data, steps=3), nilatron.cg_sense(operator, data))
print(nilatron.sample_posterior(lambda x, sigma: x / (1 + sigma), operator, data, samples=4).standard_deviation)
print(nilatron.l1_wavelet(operator, data), nilatron.__version__)
"""


def checked(script, folder):
    path = folder / "script.py"
    path.write_text(script)
    words = [
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        f"--cache-dir={folder / 'cache'}",
        str(path),
    ]
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", *words], capture_output=True, text=True, env={"MYPYPATH": str(SOURCES)}, cwd=folder
    )


@pytest.mark.slow
def test_a_users_script_passes_strict_type_checks(tmp_path):
    done = checked(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = SCRIPT + "nilatron.reconstrct(kspace)\nnilatron.reconstruct(kspace, steps=1j)\nnilatron.replay(3)\n"
    assert [line.rpartition("[")[2] for line in checked(wrong, tmp_path).stdout.splitlines()[:3]] == [
        "attr-defined]",
        "arg-type]",
        "arg-type]",
    ]


def test_every_name_is_there_and_described():
    for name in set(nilatron.__all__) - {"__version__"}:
        assert getattr(nilatron, name).__doc__, name
    assert set(nilatron.__all__) <= set(dir(nilatron))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'reconstrct'"):
        nilatron.reconstrct  # noqa: B018
