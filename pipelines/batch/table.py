"""The rows on the disk: a journal that grows row by row, and from time to time the whole as CSV and Parquet."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from nilatron.pipelines.batch.rows import COLUMNS, Row
from nilatron.pipelines.files.atomic import atomic_path

log = logging.getLogger(__name__)

EVERY_S = 5.0  # at most so often
MOST_SHARE = 0.01  # of the time goes into writing the table
ROWS_AT_ONCE = 1000


class Table:
    """The rows of a batch; none of them is kept in memory.

    Parameters
    ----------
    folder
        Where `results.csv`, `results.parquet` and the journal lie; a journal of an earlier run is replaced.
    clock
        Seconds, from any origin.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.csv, self.parquet = folder / "results.csv", folder / "results.parquet"
        self._journal, self._clock = folder / ".results.jsonl", clock
        self._file = self._journal.open("w", encoding="utf-8")
        self._arrow = _arrow()
        self._next_s = clock() + EVERY_S

    def append(self, row: Row) -> None:
        """Add a row; the table is written if the last time is long enough ago."""
        self._file.write(row.as_json() + "\n")
        if self._clock() >= self._next_s:
            started_s = self._clock()
            self.write()
            now_s = self._clock()
            self._next_s = now_s + max(EVERY_S, (now_s - started_s) / MOST_SHARE)

    def rows(self) -> Iterator[Row]:
        """All rows, in the order in which they came."""
        self._file.flush()
        with self._journal.open(encoding="utf-8") as file:
            for line in file:
                yield Row.from_json(line)

    def write(self) -> None:
        """Replace the files of the table by those of all rows so far.

        Raises
        ------
        InputError, OutputError
            When they cannot be written.
        """
        with atomic_path(self.csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([getattr(row, name) for name in COLUMNS] for row in self.rows())
        if self._arrow is not None:
            with atomic_path(self.parquet) as temporary:
                self._write_parquet(self._arrow, temporary)

    def close(self) -> None:
        """Close and remove the journal, whose rows are in the table."""
        self._file.close()
        self._journal.unlink(missing_ok=True)

    def _write_parquet(self, arrow: ModuleType, path: Path) -> None:
        from pyarrow.parquet import ParquetWriter

        schema = _schema(arrow)
        with ParquetWriter(path, schema) as writer:
            coming = self.rows()
            while rows := list(islice(coming, ROWS_AT_ONCE)):
                columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
                writer.write_table(arrow.table(columns, schema=schema))


def _schema(arrow: ModuleType) -> Any:
    kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), float | None: arrow.float64()}
    return arrow.schema([(name, kinds[kind]) for name, kind in get_type_hints(Row).items()])


def _arrow() -> ModuleType | None:
    try:
        import pyarrow
    except ImportError:
        log.warning("pyarrow is not installed (pip install 'nilatron[cluster]'): the table is written as CSV only")
        return None
    module: ModuleType = pyarrow
    return module
