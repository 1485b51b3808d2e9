"""A batch by real workers, processes and Ray's actors alike: good files, and all that can go wrong."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import h5py
import ismrmrd
import pytest

from nilatron.pipelines.archive.identity import image_digest
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.run import run_batch
from nilatron.pipelines.batch.settings import GROUP, BatchSettings, Limits
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate, simulate_items

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SCAN = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=4)
N_GOOD = 60
SLOW_ITERATIONS = 200
BASE = ReplaySettings(Path(), None, "zero_filled")


def digests(path):
    """Of all images of a file: head, metadata but for the seconds that they took, pixels."""
    with h5py.File(path) as file:
        series = list(file[GROUP])
    with closing(ismrmrd.Dataset(path, GROUP, mode="r")) as file:
        return {
            name: [image_digest(file.read_image(name, number)) for number in range(file.number_of_images(name))]
            for name in series
        }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A table of good files, and of others that are damaged, too large, endless, and slow enough to be killed."""
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(N_GOOD):
        simulate(folder / f"good{number:02}.h5", replace(SCAN, seed=number))
    for name in ("endless", "slow"):
        simulate(folder / f"{name}.h5", SCAN)
    (folder / "damaged.h5").write_bytes((folder / "good00.h5").read_bytes()[:4000])
    header, items = simulate_items(SCAN)
    header.encoding[0].encodedSpace.matrixSize.z = 30_000
    with ismrmrd.Dataset(folder / "large.h5", "dataset") as file:
        file.write_xml_header(ismrmrd.xsd.ToXML(header).encode())
        for item in items:
            file.append_acquisition(item)
    with (folder / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "config", "iterations"))
        table.writerow(("endless.h5", "l1_wavelet", 10**9))
        table.writerow(("slow.h5", "l1_wavelet", SLOW_ITERATIONS))
        table.writerows((f"{name}.h5", "", "") for name in ("damaged", "large"))
        table.writerows((f"good{number:02}.h5", "", "") for number in range(N_GOOD))
    return folder


@pytest.fixture(scope="module")
def limit_s(inputs, tmp_path_factory):
    """Time limit that the slowest good file keeps by far, however busy the machine is."""
    slow = replace(BASE, raw=inputs / "slow.h5", output=tmp_path_factory.mktemp("slow") / "out.h5", chain="l1_wavelet")
    started_s = time.monotonic()
    replay(replace(slow, properties={"iterations": str(SLOW_ITERATIONS)}))
    return max(4.0, 12 * (time.monotonic() - started_s))


def kill_who_does(folder, name, killed):
    """Kill the worker that writes an output, once; temporary files carry its number."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for path in (folder / "images").glob(f".{name}.h5.*.tmp"):
            os.kill(int(path.name.split(".")[3].split("-")[0]), signal.SIGKILL)
            killed.append(path)
            return
        time.sleep(0.005)


@pytest.fixture(scope="module", params=["off", "auto"])
def batch(request, inputs, limit_s, tmp_path_factory):
    """The folder of a batch by two workers, its rows by name, and its report."""
    if request.param == "auto" and find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'nilatron[cluster]'")
    folder, killed = tmp_path_factory.mktemp("batch") / "out", []
    limits = Limits(n_workers=2, gpus_per_worker=0, time_limit_s=limit_s, memory_bytes=512 << 20)
    settings = BatchSettings((str(inputs / "table.csv"),), folder, BASE, limits, request.param)
    killer = threading.Thread(target=kill_who_does, args=(folder, "slow", killed))
    killer.start()
    report = run_batch(settings)
    killer.join()
    assert killed
    with (folder / "results.csv").open(newline="") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    return folder, rows, report


def test_images_are_those_of_replay(batch, inputs, tmp_path):
    folder, _, _ = batch
    for number in range(N_GOOD):
        name = f"good{number:02}.h5"
        replay(replace(BASE, raw=inputs / name, output=tmp_path / name, output_group=GROUP))
        assert digests(folder / "images" / name) == digests(tmp_path / name)


def test_the_table_says_what_went_wrong_and_all_others_are_complete(batch):
    _, rows, report = batch
    assert {name: row["exit"] for name, row in rows.items()} == {
        **{f"good{number:02}": "0" for number in range(N_GOOD)},
        "slow": "0",
        "damaged": "2",
        "large": "2",
        "endless": "3",
    }
    assert "truncated" in rows["damaged"]["reason"]
    assert "needs about" in rows["large"]["reason"]
    assert "time limit of" in rows["endless"]["reason"]
    assert (rows["endless"]["tries"], rows["damaged"]["tries"], rows["large"]["tries"]) == ("2", "0", "0")
    assert rows["slow"]["tries"] == "2"  # killed at the first
    assert (report.n_files, report.n_complete, report.n_before, report.complete) == (64, 61, 0, False)
    assert rows["good00"]["slices"] == "1"
    assert float(rows["good00"]["acceleration"]) == 1.0


def test_no_half_file_is_left(batch):
    folder, _, _ = batch
    names = {f"good{number:02}" for number in range(N_GOOD)} | {"slow"}
    assert {path.name for path in (folder / "images").iterdir()} == {f"{name}.h5" for name in names}
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "images",
        "records",
        "report.html",
        "results.csv",
        "results.parquet",
    ]


def test_the_parquet_table_is_the_csv_table(batch):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, rows, _ = batch
    found = parquet.read_table(folder / "results.parquet").to_pylist()
    assert {Path(row["file"]).stem: row["exit"] for row in found} == {
        name: int(row["exit"]) for name, row in rows.items()
    }
    assert {type(Row(**row)) for row in found} == {Row}


def test_a_killed_driver_takes_its_workers_along_and_no_file_is_done_twice(inputs, tmp_path):
    words = [sys.executable, "-m", "nilatron", "batch", str(inputs / "good*.h5"), "-o", str(tmp_path / "out")]
    words += ["-c", "zero_filled", "--ray", "off", "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    def finished():
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/images").glob("good*.h5")}

    driver = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603 - the program is ours
    children = []
    while len(finished()) < 5:
        assert driver.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    driver.kill()
    driver.wait()
    for _ in range(500):
        if not any(is_at_work(child) for child in children):
            break
        time.sleep(0.01)
    assert len(children) >= 2
    assert not any(is_at_work(child) for child in children)
    before = finished()
    assert len(before) < N_GOOD
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    after = finished()
    assert len(after) == N_GOOD
    written_again = {name for name, when in before.items() if after[name] != when}
    assert len(written_again) <= 2  # published, and the workers killed before they could say so
    assert f"{len(before) - len(written_again)} of them by an earlier run" in done.stdout
    assert not list((tmp_path / "out/images").glob(".*"))


def is_at_work(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
