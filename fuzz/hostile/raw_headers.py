"""Raw files whose XML means harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hostile.entering import hostile, raw, scan


def _with_header(folder: Path, *changes: tuple[bytes, bytes], packed: bool = False) -> Path:
    with scan(folder) as file:
        xml = bytes(file["dataset/xml"][0])
        for old, new in changes:
            xml = xml.replace(old, new)
        del file["dataset/xml"]
        if packed:
            file.create_dataset("dataset/xml", data=np.frombuffer(xml, "u1"), compression="gzip", chunks=(1 << 20,))
        else:
            file["dataset/xml"] = np.array([xml], f"S{len(xml)}")
    return raw(folder)


@hostile("raw")
def a_matrix_of_terabytes(folder: Path) -> Path:
    return _with_header(
        folder, (b"<y>20</y>", b"<y>60000</y>"), (b"<x>48</x>", b"<x>60000</x>"), (b"<z>1</z>", b"<z>60000</z>")
    )


@hostile("raw")
def a_header_of_deep_elements(folder: Path) -> Path:
    return _with_header(folder, (b"<encoding>", b"<a>" * 200_000 + b"</a>" * 200_000 + b"<encoding>"))


@hostile("raw")
def a_header_of_two_million_elements(folder: Path) -> Path:
    return _with_header(folder, (b"<encoding>", b"<a/>" * 2_000_000 + b"<encoding>"), packed=True)


@hostile("raw")
def a_header_that_laughs(folder: Path) -> Path:
    laugh = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%s">' % (n, (b"&%c;" % (n - 1)) * 10) for n in range(ord("b"), ord("k"))
    )
    return _with_header(folder, (b"<ismrmrdHeader", laugh + b"]><ismrmrdHeader"), (b"<encoding>", b"&j;<encoding>"))


@hostile("raw")
def a_header_of_long_numbers(folder: Path) -> Path:
    return _with_header(folder, (b"<x>48</x>", b"<x>" + b"9" * 100_000 + b"</x>"))
