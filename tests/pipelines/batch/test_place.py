import pytest

from nilatron.pipelines.batch import place
from nilatron.pipelines.batch.run import with_gpus
from nilatron.pipelines.batch.settings import Limits


@pytest.mark.parametrize(
    ("limits", "n_cpus", "n_gpus", "expected"),
    [
        (Limits(cpus_per_worker=1), 8, 0, 8),
        (Limits(cpus_per_worker=3), 8, 0, 2),
        (Limits(cpus_per_worker=16), 8, 0, 0),
        (Limits(gpus_per_worker=1.0), 64, 4, 4),
        (Limits(gpus_per_worker=0.5), 64, 4, 8),
        (Limits(gpus_per_worker=0.25, cpus_per_worker=8), 64, 4, 8),
        (Limits(gpus_per_worker=2.0), 64, 4, 2),
    ],
)
def test_workers_that_a_machine_has_room_for(limits, n_cpus, n_gpus, expected):
    assert place.n_workers(limits, n_cpus, n_gpus) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, ["", "", "", ""]),
        (0.5, ["3", "3", "5", "5"]),
        (1.0, ["3", "5", "7", "3"]),
        (2.0, ["3,5", "7,3", "5,7", "3,5"]),
    ],
)
def test_each_worker_sees_its_gpus_alone_and_has_its_threads(share, expected):
    limits = Limits(cpus_per_worker=3, gpus_per_worker=share)
    made = [place.environment_of(number, limits, ["3", "5", "7"]) for number in range(4)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in made] == expected
    assert {one["OMP_NUM_THREADS"] for one in made} == {"3"}


def test_a_cpu_has_no_gpus():
    assert place.gpu_ids("cpu") == []
    assert with_gpus(Limits(), "cpu", is_here=True).gpus_per_worker == 0
    assert with_gpus(Limits(), "cuda", is_here=True).gpus_per_worker == 1
    assert with_gpus(Limits(gpus_per_worker=0.5), "cpu", is_here=True).gpus_per_worker == 0.5


def test_an_unexpected_failure_is_told_and_not_raised(monkeypatch):
    def fail(job):
        raise OSError(f"the disk of {job}")

    monkeypatch.setattr(place, "reconstruct", fail)
    assert place.attempt("a file") == "OSError: the disk of a file"
