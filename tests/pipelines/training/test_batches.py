from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.pipelines.training.batches import (
    Batches,
    batch_loader,
    measure_sigma_data,
    n_loader_workers,
    seeded_generator,
)
from nilatron.pipelines.training.settings import ComputeSettings, TrainSettings

SETTINGS = TrainSettings(architecture="tiny", steps=6, batch_size=5, patch_sizes=(16, 32))
SIZES = {16: 5, 32: 1}  # patches of each size, to the same number of pixels


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    magnitudes = [torch.rand((40, 50 + n), generator=generator).to(torch.float16) for n in range(3)]
    return [*magnitudes, torch.complex(magnitudes[0].float(), magnitudes[0].float())]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True)) and first[3:] == second[3:]


def test_a_batch_depends_on_seed_and_step_alone(images):
    batches = Batches(images, SETTINGS)
    late = batches[5]
    assert same(late, Batches(images, SETTINGS)[5])
    assert not torch.equal(batches[4].noise.flatten()[:9], late.noise.flatten()[:9])
    other = Batches(images, replace(SETTINGS, seed=1))[5]
    assert not torch.equal(other.noise.flatten()[:9], late.noise.flatten()[:9])


def test_batches_hold_about_the_same_number_of_pixels(images):
    batches = Batches(images, SETTINGS)
    shapes = {batches[step].clean.shape for step in range(8)}
    assert shapes == {(n, 2, size, size) for size, n in SIZES.items()}


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_the_processes_together_have_the_batch_of_one(images, n_ranks):
    whole = Batches(images, SETTINGS)
    parts = [Batches(images, SETTINGS, rank, n_ranks) for rank in range(n_ranks)]
    for step in range(6):
        batch, shares = whole[step], [part[step] for part in parts]
        # a mean over processes of share * mean is the mean over all patches
        expected = batch.noise.square().mean((1, 2, 3)).mean()
        found = sum(share.loss_weight * share.noise.square().mean() for share in shares) / n_ranks
        torch.testing.assert_close(found, expected)
        assert {share.n_patches for share in shares} == {batch.n_patches} == {len(batch.s)}
        for rank, share in enumerate(shares):
            mine = batch.clean[rank::n_ranks]
            assert torch.equal(share.clean, mine) if len(mine) else share.loss_weight == 0.0


@pytest.mark.slow
def test_batches_prepared_ahead_are_the_same_and_in_order(images):
    batches = Batches(images, SETTINGS)
    ahead = list(batch_loader(batches, 2, n_workers=2))
    assert len(ahead) == 4
    assert all(same(batch, batches[step]) for step, batch in enumerate(ahead, start=2))
    assert all(same(a, b) for a, b in zip(ahead, batch_loader(batches, 2, n_workers=0), strict=True))


def test_seeds_are_mixed_and_repeatable():
    first = [
        float(torch.rand((), generator=seeded_generator(*numbers)))
        for numbers in ((0, 1), (1, 0), (0, 1, 0), (0, 1, 2**40))
    ]
    assert len(set(first)) == len(first)
    assert first[0] == float(torch.rand((), generator=seeded_generator(0, 1)))


def test_sigma_data_is_the_rms_of_a_component():
    flat = [torch.full((8, 8), 0.4, dtype=torch.float16), torch.full((8, 8), 0.4j, dtype=torch.complex64)]
    assert measure_sigma_data(flat) == pytest.approx(0.4 / 2**0.5, rel=1e-3)


def test_batches_are_prepared_ahead_for_a_gpu_only_unless_asked():
    assert n_loader_workers(ComputeSettings(), "cpu") == 0
    assert 1 <= n_loader_workers(ComputeSettings(), "cuda") <= 8
    assert n_loader_workers(ComputeSettings(workers=3), "cpu") == 3


@pytest.mark.slow
@pytest.mark.parametrize("n_ranks", [2, 4])
def test_the_processes_together_have_the_scans_of_one(images, n_ranks):
    settings = replace(SETTINGS, scans=ScanSettings(per_step=3, acquisition=AcquisitionSettings(sides=(64, 72))))
    whole = Batches(images, settings)[2]
    parts = [Batches(images, settings, rank, n_ranks)[2] for rank in range(n_ranks)]
    assert len(whole.scans) == 3
    assert whole.scan_loss_weight == pytest.approx(settings.scans.weight / 3)
    for rank, part in enumerate(parts):
        assert part.scan_loss_weight / n_ranks == pytest.approx(
            whole.scan_loss_weight
        )  # processes take the mean of gradients
        for mine, same_scan in zip(part.scans, whole.scans[rank::n_ranks], strict=True):
            assert torch.equal(mine.data, same_scan.data)
            assert torch.equal(mine.truth, same_scan.truth)
    assert not torch.equal(whole.scans[0].truth, Batches(images, settings)[3].scans[0].truth)
