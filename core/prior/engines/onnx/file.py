"""Denoisers as ONNX files: definition of the file format, writing a file, and checking one step by step.

Format ``nilatron-onnx-1``, a ModelProto of the standard operators only (domain ""), all of it in one file:

=================  ====================================================================================================
input ``x``        float32 (S, 2, H, W): real and imaginary part of S images of scale 1, noise of standard deviation s each;
                   or (S, 4, H, W): followed by those of a previous estimate or, without one, of the images again
input ``s``        float32 (S,): *per-component* standard deviation, sigma / sqrt(2) of the complex noise
output ``d``       float32 (S, 2, H, W): D(x, s), preconditioning included
=================  ====================================================================================================

S, H and W are dynamic (named dimensions); H and W are multiples of ``multiple``, to which the caller pads. Inputs and
output are float32 in every precision; so are c_in, c_skip and c_out, c_noise = ln(s) / 4 and the statistics of the
normalisations, because at small s an error of 1e-3 of the image is as large as its noise. ``precision`` is that of the
convolutions. The graph itself has to clip noise levels outside the range that the network was trained for.

``metadata_props``, texts:

=========================  ============================================================================================
``format``                 ``nilatron-onnx-1``
``sigma_data``             root mean square of one real component of the training images, for c_skip above all trained levels
``multiple``               whole number, 1 to 1024
``precision``              fp32, bf16 or fp16
``weights_sha256``         SHA-256 of the file that the model was made from, 64 hexadecimal digits
``nilatron_version``       version of the program that wrote the file
further keys               notes copied from the weights: licence, data, date, noise convention, ...
``content_sha256``         SHA-256 of all bytes before this entry, 64 hexadecimal digits
=========================  ============================================================================================

The entry ``content_sha256`` is the last part of the file: a message of the protocol-buffer format may be continued by
appending fields, so the hash covers every byte before it and can be verified without a parser. It finds damage. Files of
unknown origin have to obey the other rules as well: no external data, no operator or function from elsewhere, bounded size,
these inputs and outputs. Only then are the bytes passed to a runtime.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nilatron import __version__
from nilatron.core.prior.engines.packages import import_package
from nilatron.core.prior.weights import MAX_FILE_BYTES, WeightsError

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto

FORMAT = "nilatron-onnx-1"
HASH_KEY = "content_sha256"
PRECISIONS = ("fp32", "bf16", "fp16")
OWN_KEYS = ("format", "sigma_data", "multiple", "precision", "weights_sha256", "nilatron_version", HASH_KEY)
MAX_MULTIPLE = 1024
STANDARD_DOMAINS = ("", "ai.onnx")
IMAGES = (None, 2, None, None)  # None: a dynamic dimension
SIGNATURE = {"x": (IMAGES, (None, 4, None, None)), "s": ((None,),), "d": (IMAGES,)}
SIGNATURE_TEXT = "inputs x (S, 2 or 4, H, W) and s (S,) and output d (S, 2, H, W), all float32 with S, H, W dynamic"


@dataclass(frozen=True)
class OnnxFacts:
    """Metadata of a file: the properties of its denoiser.

    Attributes
    ----------
    sigma_data
        Root mean square of one real component of the training images.
    multiple
        The image sides have to be a multiple of this.
    precision
        Precision of the convolutions: fp32, bf16 or fp16.
    weights_sha256
        SHA-256 of the file that the model was made from.
    notes
        Licence, training data and other notes of the model's source.
    nilatron_version
        Version of the program that wrote the file.
    """

    sigma_data: float
    multiple: int
    precision: str
    weights_sha256: str
    notes: Mapping[str, str] = field(default_factory=dict)
    nilatron_version: str = __version__

    def __post_init__(self) -> None:
        """Refuse impossible values, and drop notes whose keys belong to the format."""
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data must be positive and finite, got {self.sigma_data}")
        if not 1 <= self.multiple <= MAX_MULTIPLE:
            raise ValueError(f"multiple must be from 1 to {MAX_MULTIPLE}, got {self.multiple}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if not re.fullmatch("[0-9a-f]{64}", self.weights_sha256):
            raise ValueError(f"weights_sha256 must be 64 hexadecimal digits, got {self.weights_sha256[:80]!r}")
        notes = {key: value for key, value in self.notes.items() if key not in OWN_KEYS}
        object.__setattr__(self, "notes", notes)


@dataclass(frozen=True)
class OnnxModel:
    """A file that has been checked and can be passed to a runtime.

    Attributes
    ----------
    content
        All bytes of the file.
    facts
        Metadata of the file.
    sha256
        SHA-256 of `content`.
    n_inputs
        Number of channels of x: 2, or 4 for a self-conditioned denoiser.
    """

    content: bytes = field(repr=False)
    facts: OnnxFacts
    sha256: str
    n_inputs: int = 2


def pack_onnx(model: ModelProto, facts: OnnxFacts) -> bytes:
    """Content of a file: the model, its metadata and the hash; remarks of the exporter, e.g. local paths, are removed.

    Raises
    ------
    WeightsError
        When the model does not fit the format.
    """
    onnx = import_package("onnx")
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    for described in (packed, *_parts(packed.graph)):
        described.ClearField("doc_string")
        described.ClearField("metadata_props")
    texts = dict(facts.notes) | {
        "format": FORMAT,
        "sigma_data": repr(facts.sigma_data),
        "multiple": str(facts.multiple),
        "precision": facts.precision,
        "weights_sha256": facts.weights_sha256,
        "nilatron_version": facts.nilatron_version,
    }
    onnx.helper.set_model_props(packed, texts)
    _check_model(packed, "the model")
    try:
        onnx.checker.check_model(packed, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise WeightsError(f"the model is not valid ONNX: {error}") from error
    body: bytes = packed.SerializeToString(deterministic=True)
    content = body + hash_entry(body)
    if len(content) > MAX_FILE_BYTES:
        raise WeightsError(f"the model takes {len(content)} bytes, more than the {MAX_FILE_BYTES} of any file of ours")
    return content


def hash_entry(body: bytes) -> bytes:
    """The last bytes of a file: a `metadata_props` entry (field 14) with key (field 1) and value (field 2)."""
    value = hashlib.sha256(body).hexdigest()
    entry = b"".join(
        bytes([number << 3 | 2, len(text)]) + text.encode() for number, text in ((1, HASH_KEY), (2, value))
    )
    return bytes([14 << 3 | 2, len(entry)]) + entry


def parse_onnx(content: bytes, name: str) -> OnnxModel:
    """The checked model of a file's content, which messages call `name`; no runtime is involved.

    Raises
    ------
    WeightsError
        When the content is damaged or does not fit the format.
    """
    tail = len(hash_entry(b""))
    if hash_entry(content[:-tail]) != content[-tail:]:
        raise WeightsError(
            f"{name} is damaged, or no {FORMAT} file: it does not end with the SHA-256 of its content; copy it again, or "
            "make one with `nilatron export` or `nilatron convert`"
        )
    onnx = import_package("onnx")
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise WeightsError(f"{name} is not an ONNX file ({error})") from error
    facts = _facts(model, name)
    n_inputs = _check_model(model, name)
    return OnnxModel(content, facts, hashlib.sha256(content).hexdigest(), n_inputs)


def _facts(model: ModelProto, name: str) -> OnnxFacts:
    """Metadata of the model, checked."""
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if not all(isinstance(text, str) for pair in texts.items() for text in pair):  # texts that are not UTF-8 are bytes
        raise WeightsError(f"{name}: its metadata are no texts")
    if texts.get("format") != FORMAT:
        raise WeightsError(
            f"{name}: expected an ONNX file of format {FORMAT!r}, found {texts.get('format', '')[:40]!r}"
        )
    try:
        return OnnxFacts(
            float(texts["sigma_data"]),
            int(texts["multiple"]),
            texts["precision"],
            texts["weights_sha256"],
            texts,
            texts.get("nilatron_version", "not stated"),
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{name}: its metadata do not fit the format {FORMAT} ({error})") from error


def _check_model(model: ModelProto, name: str) -> int:
    """Number of channels of x, after refusing models that run foreign code, open files or are not called as D(x, s)."""
    parts = list(_parts(model.graph))
    domains = {imported.domain for imported in model.opset_import}
    domains |= {part.domain for part in parts if part.DESCRIPTOR.name == "NodeProto"}
    if foreign := sorted(map(str, domains - set(STANDARD_DOMAINS))):
        raise WeightsError(f"{name} needs operators of {', '.join(foreign)[:80]}: only ONNX's own are allowed")
    if model.functions:
        raise WeightsError(f"{name} holds {len(model.functions)} functions of its own: export it with them inlined")
    if keeps_tensors_elsewhere(model.graph):
        raise WeightsError(f"{name} keeps tensors in other files: export it with everything in one file")
    found = [value for value in model.graph.input if value.name not in {t.name for t in model.graph.initializer}]
    names = [value.name for value in found], [value.name for value in model.graph.output]
    if names != (["x", "s"], ["d"]):
        raise WeightsError(
            f"{name}: expected {SIGNATURE_TEXT}; found inputs {names[0]!s:.200}, outputs {names[1]!s:.200}"
        )
    for value in (*found, *model.graph.output):
        kind = value.type.tensor_type
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
        if kind.elem_type != 1 or shape not in SIGNATURE[value.name]:
            raise WeightsError(
                f"{name}: expected {SIGNATURE_TEXT}; found {value.name} of element type {kind.elem_type}, {shape}"
            )
    return int(found[0].type.tensor_type.shape.dim[1].dim_value)


def keeps_tensors_elsewhere(graph: GraphProto | FunctionProto) -> bool:
    """Whether a tensor of a graph or function, or of the graphs nested in it, lies in another file."""
    tensors = (part for part in _parts(graph) if part.DESCRIPTOR.name == "TensorProto")
    return any(tensor.data_location == tensor.EXTERNAL or tensor.external_data for tensor in tensors)


def _parts(graph: GraphProto | FunctionProto) -> Iterator[Any]:
    """A graph, its nodes, values and tensors, and those of the graphs nested in it."""
    if graph.DESCRIPTOR.name == "GraphProto":
        yield from (graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for sparse in attribute.sparse_tensors:
                yield from (sparse.values, sparse.indices)
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            if attribute.HasField("g"):
                yield from _parts(attribute.g)
            for inner in attribute.graphs:
                yield from _parts(inner)
