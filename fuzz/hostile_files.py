"""Files that mean harm, made by code: each says which kind of file it claims to be.

`HOSTILE` has a maker for each; it writes the file into a folder and returns its path. None takes more than 2 MB on the disk.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import ismrmrd.hdf5
import numpy as np

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=2, noise_lines=4)
GIGA = 1 << 30
ELSEWHERE = "secret.bin"  # a file beside the hostile one, which nothing may open
Maker = Callable[[Path], Path]

HOSTILE: dict[str, tuple[str, Maker]] = {}
SLOW = (
    "a_picture_of_three_gigabytes",
    "a_picture_just_below_pillows_limit",
    "a_packed_volume_of_three_gigabytes",
)  # to make


def hostile(kind: str) -> Callable[[Maker], Maker]:
    """Enter a maker under its name; `kind` is raw, images, weights, network, toml, chain or dicom."""

    def enter(maker: Maker) -> Maker:
        HOSTILE[maker.__name__] = (kind, maker)
        return maker

    return enter


@contextmanager
def scan(folder: Path) -> Iterator[h5py.File]:
    """A raw file to be spoilt; the group of the scan lies in it as `dataset`."""
    (folder / ELSEWHERE).write_bytes(b"swordfish" * 1000)
    simulate(folder / "raw.h5", SCAN)
    with h5py.File(folder / "raw.h5", "r+") as file:
        yield file


def raw(folder: Path) -> Path:
    """Path of the file of `scan`."""
    return folder / "raw.h5"


@hostile("raw")
def external_link_to_the_header(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["xml"] = b"<secret/>"
    simulate(raw(folder), SCAN)
    with h5py.File(raw(folder), "r+") as file:
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.ExternalLink(ELSEWHERE, "xml")
    return raw(folder)


@hostile("raw")
def external_link_to_the_scan(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other.create_group("dataset")
    with h5py.File(raw(folder), "w") as file:
        file["dataset"] = h5py.ExternalLink(ELSEWHERE, "dataset")
    return raw(folder)


@hostile("raw")
def external_link_by_a_soft_link(folder: Path) -> Path:
    with scan(folder) as file:
        file["aside/there"] = h5py.ExternalLink(ELSEWHERE, "/")
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.SoftLink("/aside/there/xml")
    return raw(folder)


@hostile("raw")
def external_storage_of_the_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (900,), "S1", external=[(str(folder / ELSEWHERE), 0, 900)])
    return raw(folder)


@hostile("raw")
def external_storage_of_the_lines(folder: Path) -> Path:
    with scan(folder) as file:
        kind = np.dtype([("head", file["dataset/data"].dtype["head"]), ("data", np.float32, (96,))])
        del file["dataset/data"]
        file.create_dataset("dataset/data", (2,), kind, external=[(str(folder / ELSEWHERE), 0, 2 * kind.itemsize)])
    return raw(folder)


@hostile("raw")
def virtual_lines(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["data"] = np.arange(9000, dtype="u1")
    simulate(raw(folder), SCAN)
    with h5py.File(raw(folder), "r+") as file:
        del file["dataset/xml"]
        layout = h5py.VirtualLayout((900,), "u1")
        layout[:] = h5py.VirtualSource(str(folder / ELSEWHERE), "data", (9000,))[:900]
        file.create_virtual_dataset("dataset/xml", layout)
    return raw(folder)


@hostile("raw")
def references_as_a_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1,), h5py.ref_dtype)[0] = file["dataset/data"].ref
    return raw(folder)


@hostile("raw")
def region_references_as_lines(folder: Path) -> Path:
    with scan(folder) as file:
        head = file["dataset/data"].dtype["head"]
        del file["dataset/data"]
        kind = np.dtype([("head", head), ("data", h5py.regionref_dtype)])
        file.create_dataset("dataset/data", (3,), kind)
    return raw(folder)


@hostile("raw")
def soft_links_in_a_circle(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"], file["dataset/other"] = h5py.SoftLink("/dataset/other"), h5py.SoftLink("/dataset/xml")
    return raw(folder)


@hostile("raw")
def a_group_that_is_its_own_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = file["dataset"]
    return raw(folder)


@hostile("raw")
def a_header_of_no_type_of_numpy(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file["dataset"].id, b"xml", h5py.h5t.UNIX_D32LE, space)
    return raw(folder)


@hostile("raw")
def lines_of_nested_compounds(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        kind = h5py.h5t.NATIVE_INT8
        for _ in range(600):
            outer = h5py.h5t.create(h5py.h5t.COMPOUND, 1)
            outer.insert(b"a", 0, kind)
            kind = outer
        h5py.h5d.create(file["dataset"].id, b"data", kind, h5py.h5s.create_simple((3,)))
    return raw(folder)


@hostile("raw")
def a_header_without_a_value(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.Empty("S10")
    return raw(folder)


@hostile("raw")
def lines_without_extent(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file["dataset/data"] = h5py.Empty(kind)
    return raw(folder)


@hostile("raw")
def a_header_of_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = np.arange(12.0).reshape(3, 4)
    return raw(folder)


@hostile("raw")
def a_header_of_compounds(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = np.zeros(2, [("a", "f4"), ("b", "S4")])
    return raw(folder)


@hostile("raw")
def heads_that_are_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        file["dataset/data"] = np.zeros(3, [("head", "f8"), ("data", "f4", (4,))])
    return raw(folder)


@hostile("raw")
def heads_of_variable_length(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        file.create_dataset("dataset/data", (3,), [("head", h5py.vlen_dtype("f4")), ("data", h5py.vlen_dtype("f4"))])
    return raw(folder)


@hostile("raw")
def samples_that_are_texts(folder: Path) -> Path:
    with scan(folder) as file:
        rows = file["dataset/data"][:]
        kind = np.dtype([("head", rows.dtype["head"]), ("data", h5py.string_dtype())])
        changed = np.zeros(len(rows), kind)
        changed["head"], changed["data"] = rows["head"], b"swordfish"
        del file["dataset/data"]
        file.create_dataset("dataset/data", data=changed)
    return raw(folder)


@hostile("raw")
def waveforms_that_are_a_group(folder: Path) -> Path:
    with scan(folder) as file:
        file.create_group("dataset/waveforms/data")
        del file["dataset/xml"]
        file["dataset/xml"] = b"<ismrmrdHeader/>"
    return raw(folder)


@hostile("raw")
def a_header_of_1500_mb_never_written(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1500 << 20,), "u1", chunks=(1 << 20,))
    return raw(folder)


@hostile("raw")
def a_header_of_1500_mb_in_one_text(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1,), f"S{1500 << 20}")
    return raw(folder)


@hostile("raw")
def a_header_of_zeros_that_were_packed(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        made = file.create_dataset("dataset/xml", (1 << 30,), "u1", chunks=(1 << 24,), compression="gzip")
        packed = zlib.compress(bytes(1 << 24), 9)
        for n in range(64):
            made.id.write_direct_chunk((n << 24,), packed)
    return raw(folder)


@hostile("raw")
def a_thousand_texts_that_are_one(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (4000,), "S1000000", chunks=(1,), compression="gzip")
    return raw(folder)


@hostile("raw")
def lines_never_written(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", (1 << 28,), kind, chunks=(1 << 12,))
    return raw(folder)


@hostile("raw")
def a_line_of_a_gigabyte(folder: Path) -> Path:
    with scan(folder) as file:
        head = file["dataset/data"].dtype["head"]
        del file["dataset/data"]
        kind = np.dtype([("head", head), ("data", "f4", (GIGA // 4,))])
        file.create_dataset("dataset/data", (8,), kind, chunks=(1,))
    return raw(folder)


@hostile("raw")
def lines_beyond_all_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", (1 << 52,), kind, chunks=(1 << 12,))
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


@hostile("images")
def training_images_never_written(folder: Path) -> Path:
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("reconstruction_rss", (200, 4096, 4096), "f4", chunks=(1, 4096, 4096))
    return path


@hostile("images")
def training_images_elsewhere(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["image"] = np.ones((3, 16, 16), np.float32)
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file["reconstruction_rss"] = h5py.ExternalLink(ELSEWHERE, "image")
    return path


@hostile("images")
def training_series_without_a_head(folder: Path) -> Path:
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file.create_group("a/header")
        file["a/data"] = np.zeros((3, 1, 1, 8, 8), np.float32)
        file["b/data"] = np.zeros((3, 1, 1, 8, 8), np.float32)
        file["b/header"] = h5py.Empty(ismrmrd.hdf5.image_header_dtype)
    return path


@hostile("images")
def a_picture_of_three_gigabytes(folder: Path) -> Path:
    return _png(folder / "bomb.png", 13_000, 13_000, depth=8, colour=6)


@hostile("images")
def a_picture_just_below_pillows_limit(folder: Path) -> Path:
    return _png(folder / "bomb.png", 9_000, 9_000, depth=16, colour=6)


@hostile("images")
def postscript_called_a_picture(folder: Path) -> Path:
    path = folder / "program.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\nshowpage\n%%EOF\n")
    return path


@hostile("images")
def a_tiff_called_a_picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "tiff.png"
    Image.new("L", (16, 16), 7).save(path, format="TIFF")
    return path


def _png(path: Path, n_x: int, n_y: int, *, depth: int, colour: int) -> Path:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    row = bytes(1 + n_x * (depth // 8) * {0: 1, 2: 3, 6: 4}[colour])
    packer, packed = zlib.compressobj(9), []
    for _ in range(n_y):
        packed.append(packer.compress(row))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", n_x, n_y, depth, colour, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def _npy(path: Path, header: str, content: bytes = b"") -> Path:
    text = header.encode("latin-1") + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content)
    return path


@hostile("images")
def an_array_of_a_terabyte(folder: Path) -> Path:
    shape = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 512, 512), }"
    return _npy(folder / "a.npy", shape, bytes(4096))


@hostile("images")
def an_array_of_objects(folder: Path) -> Path:
    return _npy(
        folder / "a.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", b"cos\nsystem\n(S'true'\ntR."
    )


@hostile("images")
def an_array_with_a_negative_side(folder: Path) -> Path:
    return _npy(folder / "a.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 8), }", bytes(4096))


@hostile("images")
def an_array_of_empty_numbers(folder: Path) -> Path:
    return _npy(folder / "a.npy", "{'descr': '|V0', 'fortran_order': False, 'shape': (4, 8), }", bytes(4096))


@hostile("images")
def an_array_whose_header_nests(folder: Path) -> Path:
    return _npy(folder / "a.npy", "(" * 9000 + ")" * 9000, bytes(64))


@hostile("images")
def an_archive_called_an_array(folder: Path) -> Path:
    path = folder / "a.npy"
    with path.open("wb") as file:
        np.savez_compressed(file, a=np.zeros((4, 4)))
    return path


def _nifti(**fields: Any) -> bytes:
    import nibabel

    image = nibabel.Nifti1Image(np.arange(8 * 8 * 4, dtype=np.float32).reshape(8, 8, 4), np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    head = bytearray(image.header.binaryblock)
    return bytes(head) + bytes(4) + image.get_fdata().astype("f4").tobytes(order="F")


@hostile("images")
def a_volume_of_terabytes(folder: Path) -> Path:
    path = folder / "a.nii"
    path.write_bytes(_nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]))
    return path


@hostile("images")
def a_packed_volume_of_terabytes(folder: Path) -> Path:
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress(_nifti(dim=[3, 30000, 30000, 2000, 1, 1, 1, 1])))
    return path


@hostile("images")
def a_packed_volume_of_three_gigabytes(folder: Path) -> Path:
    path, size = folder / "a.nii.gz", 1 << 25
    packer, parts = zlib.compressobj(1, wbits=31), []
    parts.append(packer.compress(_nifti(dim=[3, 1024, 1024, 800, 1, 1, 1, 1])[:352]))
    zeros = bytes(size)
    for _ in range(100):
        parts.append(packer.compress(zeros))
    path.write_bytes(b"".join([*parts, packer.flush()]))
    return path


@hostile("images")
def a_volume_in_two_files(folder: Path) -> Path:
    (folder / "a.img").write_bytes(b"swordfish" * 1000)
    path = folder / "a.nii"
    path.write_bytes(_nifti(magic=b"ni1"))
    return path


def _safetensors(path: Path, header: object, content: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


@hostile("weights")
def weights_of_a_terabyte(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}
    return _safetensors(folder / "w.safetensors", {"__metadata__": {"format": "nilatron-edm-2"}, "a": entry})


@hostile("weights")
def weights_that_overlap(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return _safetensors(folder / "w.safetensors", {"a": entry, "b": entry}, bytes(16))


@hostile("weights")
def weights_whose_header_nests(folder: Path) -> Path:
    return _safetensors(folder / "w.safetensors", b"[" * 500_000 + b"]" * 500_000)


@hostile("weights")
def weights_whose_header_is_larger_than_the_file(folder: Path) -> Path:
    path = folder / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    return path


@hostile("weights")
def weights_of_a_giant_network(folder: Path) -> Path:
    shape = json.dumps({"channels": [1024] * 8, "blocks": [16] * 8, "embedding": 4096})
    meta = {"format": "nilatron-edm-2", "architecture": shape, "sigma_data": "0.5", "content_sha256": "0" * 64}
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})


@hostile("weights")
def weights_whose_metadata_nest(folder: Path) -> Path:
    meta = {"format": "nilatron-edm-2", "architecture": "[" * 100_000, "sigma_data": "0.5", "content_sha256": "0"}
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})


@hostile("weights")
def weights_with_a_head_without_end(folder: Path) -> Path:
    shape = json.dumps({"channels": [8], "blocks": [1], "embedding": 16})
    meta = {"format": "nilatron-edm-2", "architecture": shape, "sigma_data": "0.5", "content_sha256": "0" * 64}
    meta["error_head"] = json.dumps({"channels": [256] * 100_000})
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})


def _onnx(*, external: bool = False, functions: int = 0, recursive: bool = False) -> bytes:
    import onnx
    from onnx import helper

    image = helper.make_tensor_value_info("u", 1, ["b", 2, "y", "x"])
    time = helper.make_tensor_value_info("t", 1, ["b"])
    out = helper.make_tensor_value_info("n", 1, ["b", 2, "y", "x"])
    constants, nodes, made = [], [helper.make_node("Identity", ["u"], ["n"])], []
    if external:
        tensor = onnx.TensorProto(name="c", data_type=1, dims=[4], data_location=1)
        tensor.external_data.add(key="location", value=ELSEWHERE)
        constants.append(tensor)
        nodes = [helper.make_node("Add", ["u", "c"], ["n"])]
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    for n in range(functions):
        inner = "own" if n else ""
        calls = [
            helper.make_node(f"f{n - 1}" if n else "Identity", ["a"], ["m"], domain=inner),
            helper.make_node(f"f{n - 1}" if n else "Identity", ["m"], ["z"], domain=inner),
        ]
        made.append(helper.make_function("own", f"f{n}", ["a"], ["z"], calls, opset))
    if recursive:
        calls = [helper.make_node("f0", ["a"], ["z"], domain="own")]
        made.append(helper.make_function("own", "f0", ["a"], ["z"], calls, opset))
    if made:
        nodes = [helper.make_node(f"f{max(functions - 1, 0)}", ["u"], ["n"], domain="own")]
    graph = helper.make_graph(nodes, "g", [image, time], [out], constants)
    model = helper.make_model(graph, opset_imports=opset, functions=made, ir_version=9)
    return bytes(model.SerializeToString())


@hostile("network")
def a_network_with_tensors_elsewhere(folder: Path) -> Path:
    (folder / ELSEWHERE).write_bytes(b"swordfish" * 1000)
    path = folder / "n.onnx"
    path.write_bytes(_onnx(external=True))
    return path


@hostile("network")
def a_network_of_functions_that_double(folder: Path) -> Path:
    path = folder / "n.onnx"
    path.write_bytes(_onnx(functions=24))
    return path


@hostile("network")
def a_network_that_calls_itself(folder: Path) -> Path:
    path = folder / "n.onnx"
    path.write_bytes(_onnx(recursive=True))
    return path


@hostile("toml")
def settings_that_nest(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text("a = " + "[" * 20_000 + "]" * 20_000)
    return path


@hostile("toml")
def settings_with_a_long_number(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text("steps = " + "9" * 100_000)
    return path


@hostile("toml")
def settings_of_dotted_names(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text(".".join(["a"] * 20_000) + " = 1")
    return path


CHAIN = "<configuration><version>2</version><stream>{}</stream></configuration>"
GADGET = (
    "<gadget><dll>x</dll><classname>ExtractGadget</classname><name>{}</name><property name='a' value='{}'/></gadget>"
)


@hostile("chain")
def a_chain_of_references(folder: Path) -> Path:
    path = folder / "c.xml"
    gadgets = "".join(GADGET.format(f"g{n}", f"a@g{n + 1}" if n < 2000 else "1") for n in range(2001))
    path.write_text(CHAIN.format(gadgets))
    return path


@hostile("chain")
def a_chain_of_deep_elements(folder: Path) -> Path:
    path, node = (
        folder / "c.xml",
        "<external><execute name='nilatron.pipelines.node' target='nila' type='python'/>{}</external>",
    )
    deep = "<configuration>" + "<a>" * 100_000 + "</a>" * 100_000 + "</configuration>"
    path.write_text(CHAIN.format(node.format(deep)))
    return path


@hostile("chain")
def a_chain_that_laughs(folder: Path) -> Path:
    path = folder / "c.xml"
    laugh = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(n)} "{f"&{chr(n - 1)};" * 10}">' for n in range(ord("b"), ord("k"))
    )
    path.write_text(laugh + "]>" + CHAIN.format("&j;"))
    return path


@hostile("chain")
def a_chain_of_other_letters(folder: Path) -> Path:
    path = folder / "c.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="utf-32"?>' + CHAIN.encode())
    return path


@hostile("dicom")
def a_dicom_file_of_deep_sequences(folder: Path) -> Path:
    path = folder / "a.dcm"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x40\x00\x60\xa1SQ\x00\x00\xff\xff\xff\xff" + item
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    path.write_bytes(
        bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta + sequence * 3000
    )
    return path


@hostile("dicom")
def a_dicom_file_of_a_long_value(folder: Path) -> Path:
    path = folder / "a.dcm"
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    value = b"\x10\x00\x10\x00UN\x00\x00" + struct.pack("<I", 0xFFFFFFF0) + b"x"
    path.write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta + value)
    return path
