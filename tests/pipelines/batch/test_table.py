import csv
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import pairwise

import pytest

from nilatron.pipelines.batch.rows import COLUMNS, Row
from nilatron.pipelines.batch.table import EVERY_S, MOST_SHARE, Table

ROW = Row("a.h5", "images/a.h5", slices=3, chi2=1.02, sigma=0.5, warnings='one, "two"')


@pytest.fixture
def make(tmp_path):
    """A table in the test's folder, which is closed at the end."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(closing(Table(tmp_path, *options)))


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_all_rows(make, tmp_path):
    table = make()
    for number in range(2500):
        table.append(replace(ROW, file=f"{number}.h5"))
    table.write()
    assert [row["file"] for row in read(table.csv)] == [f"{number}.h5" for number in range(2500)]
    assert read(table.csv)[0]["warnings"] == 'one, "two"'
    assert tuple(read(table.csv)[0]) == COLUMNS
    parquet = pytest.importorskip("pyarrow.parquet")
    assert [Row(**row) for row in parquet.read_table(table.parquet).to_pylist()] == list(table.rows())
    table.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.parquet"]


def test_it_is_written_as_it_goes_and_not_too_often(make):
    now = [0.0]
    table = make(lambda: now[0])
    table.append(ROW)
    assert not table.csv.exists()
    now[0] = EVERY_S
    table.append(ROW)
    assert len(read(table.csv)) == 2
    table.append(ROW)
    assert len(read(table.csv)) == 2


def test_a_slow_disk_has_it_written_less_often(make, monkeypatch):
    now = [0.0]
    table = make(lambda: now[0])
    written = []

    def write():
        written.append(now[0])
        now[0] += 1.0

    monkeypatch.setattr(table, "write", write)
    while now[0] < 300:
        now[0] += 0.5
        table.append(ROW)
    assert all(later - before >= 1 / MOST_SHARE for before, later in pairwise(written))
    assert len(written) == 3


def test_an_earlier_table_stays_until_there_is_a_whole_new_one(make, small_disk):
    table = make()
    table.append(ROW)
    table.write()
    before = table.csv.read_bytes()
    for number in range(200):
        table.append(replace(ROW, file=f"{number}.h5"))
    list(table.rows())
    with small_disk(2000), pytest.raises(Exception, match=r"results.csv"):
        table.write()
    assert table.csv.read_bytes() == before


def test_without_arrow_there_is_the_csv(make, monkeypatch):
    monkeypatch.setattr("nilatron.pipelines.batch.table._arrow", lambda: None)
    table = make()
    table.append(ROW)
    table.write()
    assert table.csv.exists()
    assert not table.parquet.exists()
