import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.labels import STRIP_HEIGHT
from nilatron.pipelines.prior.report import EvaluationSettings, evaluate, find_sources, report_folder

SHARED = Path(__file__).resolve().parents[3] / "../shared"
SLICES = [np.uint8(200 * np.abs(phantom((1, 64, 60), centre=(z, 0.0, 0.0))[0])) for z in (0.0, 0.2, 0.4)]


@pytest.fixture
def images(tmp_path):
    """Two images of one source, one of another, and things that are none."""
    folder = tmp_path / "images"
    for name, pixels in zip(("a/1.png", "a/2.png", "b/c/3.png"), SLICES, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    (folder / "index.csv").write_text("file,source\n")
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def settings(images, tmp_path):
    weights = tmp_path / "prior.safetensors"
    save_prior(weights, EDMDenoiser(UNetConfig((8,), (1,), 8), 0.25), {})
    return EvaluationSettings((images,), weights, sigmas=(0.05, 0.2), rules=("hard",))


@pytest.mark.slow
def test_the_table_has_every_source_and_all_of_them(settings):
    found = evaluate(settings)
    table = [(row.comparison.source, row.comparison.sigma, row.comparison.n_images) for row in found.rows]
    assert table == [(s, sigma, n) for sigma in (0.05, 0.2) for s, n in (("a", 2), ("b", 1), ("all", 3))]
    assert all(row.wavelet is None or row.wavelet.rule == "hard" for row in found.rows)
    for row in found.rows:  # an untrained network hardly denoises; the wavelet does
        noise = row.comparison.sigma / math.sqrt(2)
        assert row.comparison.reference_rmse < 0.75 * noise < row.comparison.rmse < 1.05 * noise


@pytest.mark.slow
def test_the_shipped_prior_is_better_than_the_wavelet(settings):
    found = evaluate(replace(settings, weights=DEFAULT_WEIGHTS))
    assert all(row.comparison.ratio < 0.9 for row in found.rows)


@pytest.mark.slow
@pytest.mark.shared
def test_the_shipped_prior_on_held_out_slices():
    folder = SHARED / "data/magnitude/val"
    if not folder.is_dir():
        pytest.skip("the shared development data are not beside the checkout")
    settings = EvaluationSettings((folder,), DEFAULT_WEIGHTS, sigmas=(0.05, 0.2), rules=("soft",), limit=2)
    ratios = {(r.comparison.source, r.comparison.sigma): r.comparison.ratio for r in evaluate(settings).rows}
    assert len(ratios) == 6
    assert all(ratio < 0.75 for ratio in ratios.values()), ratios


@pytest.mark.slow
def test_markdown_and_json_say_the_same(settings):
    found = evaluate(replace(settings, limit=1))
    rows = json.loads(found.json())["rows"]
    lines = found.markdown().splitlines()[2:]
    assert len(rows) == len(lines) == 6
    for row, line in zip(rows, lines, strict=True):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert [cells[0], int(cells[1]), float(cells[2])] == [row["source"], row["images"], row["sigma"]]
        assert float(cells[4]) == pytest.approx(row["rmse_prior"], abs=1e-4)
        assert float(cells[7]) == pytest.approx(row["ratio"], abs=1e-3)
    assert [row["images"] for row in rows] == [1, 1, 2] * 2


@pytest.mark.slow
def test_a_seed_repeats_the_figures(settings):
    settings = replace(settings, sigmas=(0.1,))
    assert evaluate(settings).json() == evaluate(settings).json() != evaluate(replace(settings, seed=1)).json()


@pytest.mark.slow
def test_files_appear_together_and_pictures_hold_six_tiles_a_level(settings, tmp_path):
    found = evaluate(settings)
    found.write(report_folder(tmp_path / "report", overwrite=False))
    assert {p.name for p in (tmp_path / "report").iterdir()} == {"table.md", "table.json", "a.png", "b.png"}
    with Image.open(tmp_path / "report" / "a.png") as picture:
        pixels = np.asarray(picture, float)
    assert pixels.shape == (STRIP_HEIGHT + 2 * 64, 6 * 60)
    clean, noisy = pixels[-64:, :60], pixels[-64:, 60:120]
    below = np.s_[16:]  # the noise level stands above it
    assert np.corrcoef(clean[below].ravel(), SLICES[1][below].ravel())[0, 1] > 0.999
    assert all(names.min() < 100 for names in np.split(pixels[:STRIP_HEIGHT], 6, axis=1))
    with pytest.raises(InputError, match="earlier run"):
        report_folder(tmp_path / "report", overwrite=False)
    found.write(report_folder(tmp_path / "report", overwrite=True))
    assert np.abs(noisy - clean).mean() > 10


def test_sources_are_the_first_folders(images):
    found = find_sources([images])
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "a": ["1.png", "2.png"],
        "b": ["3.png"],
    }
    assert list(find_sources([images / "a"])) == ["a"]
    assert list(find_sources([images / "a" / "1.png", images / "b" / "c"])) == ["a", "c"]


def test_what_cannot_be_measured_is_refused(settings, images, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_sources([tmp_path / "absent"])
    with pytest.raises(InputError, match="no images below"):
        find_sources([images / "notes"])
    for change in ({"sigmas": ()}, {"sigmas": (0.1, math.nan)}, {"limit": 0}, {"rules": ("bm3d",)}, {"rules": ()}):
        with pytest.raises(InputError):
            replace(settings, **change)
