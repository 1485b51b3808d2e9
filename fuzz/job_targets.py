"""What whole commands do with a file, as functions of a path: `import`, `stream` and `batch`; see `file_targets`.

What they write goes into a folder of its own, which is removed.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nilatron.core.errors import BadInputError
from nilatron.pipelines.batch.estimate import needed_bytes
from nilatron.pipelines.batch.inputs import find_jobs
from nilatron.pipelines.batch.records import read_record, record_path
from nilatron.pipelines.batch.settings import BatchSettings, Job
from nilatron.pipelines.importing.header import Geometry
from nilatron.pipelines.importing.run import ImportSettings, import_file
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.stream import v1
from nilatron.pipelines.stream.recorded import open_incoming, open_noise
from nilatron.pipelines.stream.run import StreamReport, StreamSettings, convert, reconstruct

ORDERS = ("coil,y,x", "slice,coil,y,x", "slice,coil,z,y,x")
GEOMETRY = Geometry((240.0, 240.0, 5.0))
PARTED = b"\0"  # between .hdr and .cfl in a file that holds both


def pair(header: bytes, data: bytes) -> bytes:
    """BART's two files in one, to be changed together."""
    return header + PARTED + data


def imported(path: Path) -> None:
    """`nilatron import` of HDF5."""
    _import(ImportSettings(path, Path()))


def imported_as_told(path: Path) -> None:
    """The same where the header of the file is not used."""
    _import(ImportSettings(path, Path(), geometry=GEOMETRY))


def imported_array(path: Path) -> None:
    """`nilatron import` of an npy file, by the names that so many axes usually have."""
    problem = BadInputError("no names fit")
    for order in ORDERS:
        try:
            return _import(ImportSettings(path, Path(), tuple(order.split(",")), geometry=GEOMETRY))
        except BadInputError as error:
            problem = error
    raise problem


def imported_pair(path: Path) -> None:
    """`nilatron import` of .cfl and .hdr, which come in one file."""
    header, _, data = path.read_bytes().partition(PARTED)
    with TemporaryDirectory() as name:
        source = Path(name) / "a.cfl"
        source.write_bytes(data)
        source.with_suffix(".hdr").write_bytes(header)
        _import(ImportSettings(source, Path(), geometry=GEOMETRY))


def _import(settings: ImportSettings) -> None:
    with TemporaryDirectory() as name:
        import_file(replace(settings, output=Path(name) / "raw.h5"))


def streamed(path: Path) -> None:
    """`nilatron stream`: images of a scan that comes over a pipe."""
    with path.open("rb") as file:
        settings = StreamSettings("zero_filled")
        _refuse_incomplete(reconstruct(open_incoming(file, "stdin"), v1.Outgoing(io.BytesIO()), settings))


def converted(path: Path) -> None:
    """`nilatron stream --convert`."""
    with path.open("rb") as file:
        _refuse_incomplete(convert(open_incoming(file, "stdin"), v1.Outgoing(io.BytesIO()), StreamSettings()))


def _refuse_incomplete(report: StreamReport) -> None:
    if report.failure is not None:
        raise BadInputError(report.failure)


def noise_of(path: Path) -> None:
    """`--noise`: lines of a raw file, of a stream, or a covariance."""
    with open_noise(path) as noise:
        noise.heads()
        for _ in noise.items():
            pass


def batch_of_table(path: Path) -> None:
    """`nilatron batch` with a table of files: what is done before any of them is opened."""
    base = ReplaySettings(Path("raw.h5"), None, "zero_filled", device="cpu")
    find_jobs(BatchSettings((str(path),), path.parent / "none", base))


def batch_record(path: Path) -> None:
    """What a batch knows of an output that it finds."""
    with TemporaryDirectory() as name:
        job = Job("a", ReplaySettings(Path("raw.h5"), Path(name) / "images" / "a.h5", "zero_filled", device="cpu"))
        record_path(job).parent.mkdir()
        record_path(job).write_bytes(path.read_bytes())
        if read_record(job) is None:
            raise BadInputError("no record")


def batch_estimate(path: Path) -> None:
    """Memory that a batch expects a file to need."""
    needed_bytes(ReplaySettings(path, None, device="cpu"))
