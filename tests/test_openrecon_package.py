"""The zip file for OpenRecon: archives of images as `docker save` writes them, and what the checks in front of it refuse."""

import base64
import importlib
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "docker"
LABEL = json.loads((FOLDER / "openrecon.json").read_text())
TAG = "openrecon_nilatron_nilatron:v0.2.0"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("openrecon_package")


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def archive_of(tmp_path, script):
    """The archive of an image with a torch of this CUDA version."""

    def write(cuda=None, label=LABEL, tags=(TAG,), user="0:0", more=()):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as files:
            version = f"__version__ = '2'\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n"
            add(files, "opt/nilatron/lib/python3.11/site-packages/torch/version.py", version.encode())
        labels = {} if label is None else {script.LABEL_KEY: base64.b64encode(json.dumps(label).encode()).decode()}
        path = tmp_path / "image.tar"
        with tarfile.open(path, "w") as archive:
            manifest = [{"Config": "c.json", "RepoTags": list(tags), "Layers": ["l/layer.tar"]}]
            add(archive, "manifest.json", json.dumps(manifest).encode())
            add(archive, "c.json", json.dumps({"config": {"Labels": labels, "User": user}}).encode())
            add(archive, "l/layer.tar", layer.getvalue())
            for name in more:
                add(archive, name, b"{}")
        return path

    return write


def with_gpu():
    return LABEL | {"reconstruction": LABEL["reconstruction"] | {"can_use_gpu": True, "min_count_required_gpus": 1}}


@pytest.mark.parametrize(("cuda", "label"), [(None, LABEL), ("11.8", with_gpu())])
def test_the_zip_holds_the_image_and_its_manual_under_one_name(script, archive_of, tmp_path, capsys, cuda, label):
    image = archive_of(cuda, label)
    assert script.main([str(image), str(tmp_path)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "OpenRecon_nilatron_nilatron_V0.2.0.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [path.stem + ".pdf", path.stem + ".tar"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert archive.read(path.stem + ".tar") == image.read_bytes()
        assert archive.read(path.stem + ".pdf").startswith(b"%PDF-1.4")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cuda": "12.4"}, "torch has CUDA 12.4; expected 11.8 at most"),
        ({"cuda": "13.0", "label": with_gpu()}, "torch has CUDA 13.0"),
        ({"label": with_gpu()}, "the label asks for a GPU, but torch has no CUDA"),
        ({"label": None}, "no OpenRecon label"),
        ({"label": {"general": {}}}, "expected the objects"),
        ({"tags": ["nilatron:latest"]}, f"tagged nilatron:latest; expected {TAG}"),
        ({"user": "10001:10001"}, "runs as 10001:10001"),
        ({"more": ["oci-layout"]}, "as Docker writes it from 25 on"),
    ],
)
def test_what_the_checks_refuse_is_not_packed(script, archive_of, tmp_path, capsys, changes, said):
    assert script.main([str(archive_of(**changes)), str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert not list(tmp_path.glob("*.zip"))


def test_what_is_no_archive_is_an_error(script, tmp_path, capsys):
    path = tmp_path / "image.tar"
    path.write_bytes(b"nothing")
    assert script.main([str(path)]) == 2
    assert script.main([str(tmp_path / "none.tar")]) == 2
    assert script.main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_manual_can_be_printed_and_names_every_parameter(script):
    text = script.MANUAL.read_text(encoding="utf-8")
    lines = script.manual_lines(text)
    assert max(map(len, lines)) <= script.CHARACTERS_PER_LINE
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert all(parameter["label"]["en"] in text for parameter in LABEL["parameters"])


@pytest.mark.parametrize("text", ["zero\u200bwidth", "a" * 500])
def test_a_manual_that_the_packaging_refuses_is_an_error(script, text):
    with pytest.raises(ValueError, match="the manual has"):
        script.manual_lines(text)


@pytest.mark.parametrize("n_lines", [0, 1, 54, 55, 200])
def test_every_object_of_the_pdf_is_where_its_table_says(script, n_lines):
    lines = [f"line {number} (of \\ them)" for number in range(n_lines)]
    document = script.pdf(lines)
    table = int(re.search(rb"startxref\n(\d+)\n%%EOF", document)[1])
    offsets = [int(entry[:10]) for entry in document[table:].split(b"\n")[3:] if entry.endswith(b"n ")]
    for number, offset in enumerate(offsets, 1):
        assert document[offset:].startswith(f"{number} 0 obj\n".encode())
    pages = max(1, -(-n_lines // script.LINES_PER_PAGE))
    assert document.count(b"/Type /Page ") == pages
    assert f"/Count {pages} ".encode() in document
    for length, stream in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", document, re.DOTALL):
        assert int(length) == len(stream)
    assert document.count(rb"\(of \\ them\)") == n_lines
