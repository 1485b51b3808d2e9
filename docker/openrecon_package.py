"""Check an OpenRecon image that `docker save` has written, and pack it with its manual into the zip file that is installed.

Needs nothing but Python:  python docker/openrecon_package.py IMAGE.tar [FOLDER]

The zip holds OpenRecon_<vendor>_<name>_V<version>.tar and a PDF of the same name, made of openrecon_manual.md.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openrecon_label

HERE = Path(__file__).parent
MANUAL = HERE / "openrecon_manual.md"
LABEL_KEY = "com.siemens-healthineers.magneticresonance.openrecon.metadata:1.1.0"
NEWEST_CUDA = (11, 8)
MAX_LINE = 500  # characters of the manual
INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff]")
LINES_PER_PAGE, CHARACTERS_PER_LINE = 54, 92


def image_config(image: tarfile.TarFile) -> tuple[dict[str, Any], list[str], list[str]]:
    """Configuration, tags and names of the layers of the image in an archive; raises ValueError where it is none."""
    names = image.getnames()
    if "oci-layout" in names:
        raise ValueError(
            "the archive has the OCI layout, as Docker writes it from 25 on; save it with an older Docker Engine"
        )
    if "manifest.json" not in names:
        raise ValueError("the archive has no manifest.json; expected what `docker save` writes")
    (entry,) = json.loads(content(image, "manifest.json"))
    config: dict[str, Any] = json.loads(content(image, entry["Config"]))["config"]
    return config, entry["RepoTags"] or [], entry["Layers"]


def content(archive: tarfile.TarFile, name: str) -> bytes:
    """The bytes of one file."""
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()


def cuda_of_torch(image: tarfile.TarFile, layers: list[str]) -> str | None:
    """The CUDA version that the image's torch was built with; None for a torch without CUDA."""
    for layer in reversed(layers):
        with tarfile.open(fileobj=image.extractfile(layer)) as files:
            for member in files:
                if member.name.endswith("/torch/version.py"):
                    found = re.search(r"^cuda[^=]*= *'([\d.]+)'", content(files, member.name).decode(), re.MULTILINE)
                    return found[1] if found else None
    return None


def faults(image: tarfile.TarFile) -> Iterator[str]:
    """Why OpenRecon, or the checks in front of it, would refuse the image."""
    config, tags, layers = image_config(image)
    label = label_of(config)
    if wrong := list(openrecon_label.faults(label)):
        yield from wrong
        return
    if image_name(label) not in tags:
        yield f"the image is tagged {', '.join(tags) or 'nothing'}; expected {image_name(label)}"
    if config.get("User", "") not in ("", "0", "0:0", "root"):
        yield f"the container runs as {config['User']}; OpenRecon starts it as root"
    cuda = cuda_of_torch(image, layers)
    if cuda is not None and tuple(map(int, cuda.split(".")[:2])) > NEWEST_CUDA:
        yield f"torch has CUDA {cuda}; expected 11.8 at most: build with FLAVOUR=cuda118, or for the CPU"
    if label["reconstruction"]["can_use_gpu"] and cuda is None:
        yield "the label asks for a GPU, but torch has no CUDA; leave --gpu out, or build with FLAVOUR=cuda118"


def label_of(config: dict[str, Any]) -> dict[str, Any]:
    """The label of an image; raises ValueError where there is none."""
    encoded = (config.get("Labels") or {}).get(LABEL_KEY)
    if not encoded:
        raise ValueError("the image has no OpenRecon label: build the target openrecon with OPENRECON_LABEL")
    try:
        label: dict[str, Any] = json.loads(base64.b64decode(encoded, validate=True))
    except ValueError as error:
        raise ValueError(f"the OpenRecon label is no JSON in base64: {error}") from error
    return label


def image_name(label: dict[str, Any]) -> str:
    """Name and tag that the image must have."""
    general = label["general"]
    return f"openrecon_{general['vendor']}_{general['name']['en']}:v{general['version']}".lower()


def package_name(label: dict[str, Any]) -> str:
    """Name of archive, manual and zip file, without their endings."""
    general = label["general"]
    return f"OpenRecon_{general['vendor']}_{general['name']['en']}_V{general['version']}"


def manual_lines(text: str) -> list[str]:
    """The lines of the manual as they are printed; raises ValueError for what the packaging refuses."""
    if INVISIBLE.search(text):
        raise ValueError("the manual has characters without a width")
    if any(len(line) >= MAX_LINE for line in text.splitlines()):
        raise ValueError(f"the manual has a line of {MAX_LINE} characters or more")
    lines = []
    for line in text.splitlines():
        while len(line) > CHARACTERS_PER_LINE:
            cut = line.rfind(" ", 0, CHARACTERS_PER_LINE)
            cut = CHARACTERS_PER_LINE if cut <= 0 else cut
            lines.append(line[:cut])
            line = line[cut:].lstrip()
        lines.append(line)
    return lines


def pdf(lines: list[str]) -> bytes:
    """A PDF of plain text, in one of the fonts that every reader has."""
    pages = [lines[start : start + LINES_PER_PAGE] for start in range(0, len(lines), LINES_PER_PAGE)] or [[]]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        shown = b"\n".join(b"(" + escaped(line) + b") '" for line in page)
        stream = b"BT /F1 9 Tf 13 TL 50 790 Td\n" + shown + b"\nET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets))
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
    return out.getvalue()


def escaped(line: str) -> bytes:
    """A line as the text of a PDF."""
    return re.sub(rb"([\\()])", rb"\\\1", line.encode("cp1252", errors="replace"))


def package(path: Path, folder: Path) -> Path:
    """Write the zip file of an image; raises ValueError with all faults."""
    with tarfile.open(path) as image:
        if found := list(faults(image)):
            raise ValueError("\n".join(found))
        label = label_of(image_config(image)[0])
    name = package_name(label)
    manual = pdf(manual_lines(MANUAL.read_text(encoding="utf-8")))
    target = folder / f"{name}.zip"
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.pdf", manual)
        with path.open("rb") as source, archive.open(f"{name}.tar", "w", force_zip64=True) as inside:
            shutil.copyfileobj(source, inside, 1 << 20)
    part.replace(target)
    return target


def main(arguments: list[str]) -> int:
    """Print the name of the zip file; 2 and the faults on stderr where there are any."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: openrecon_package.py IMAGE.tar [FOLDER]\n")
        return 2
    path, folder = Path(arguments[0]), Path(arguments[1] if len(arguments) > 1 else ".")
    try:
        sys.stdout.write(f"{package(path, folder)}\n")
    except (OSError, ValueError, LookupError, tarfile.TarError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
