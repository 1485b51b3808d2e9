import random

import pytest

from nilatron.core.prior.engines.onnx import file as onnx_file
from nilatron.core.prior.engines.onnx.file import OnnxFacts, hash_entry, pack_onnx, parse_onnx
from nilatron.core.prior.weights import WeightsError

onnx = pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture
def changed(linear):
    """The content of a file after `change`, with the hash that belongs to it."""

    def make(change):
        model = onnx.load_from_string(linear.content)
        del model.metadata_props[-1]
        change(model)
        body = model.SerializeToString()
        return body + hash_entry(body)

    return make


def test_what_was_written_is_read(linear_graph, facts):
    content = pack_onnx(linear_graph, facts)
    found = parse_onnx(content, "it")
    assert found.content == content
    assert (found.facts.sigma_data, found.facts.multiple, found.facts.precision) == (0.25, 4, "fp32")
    assert found.facts.weights_sha256 == "ab" * 32
    assert found.facts.notes == {"licence": "MIT", "data": "none"}


def test_the_hash_is_a_metadata_entry_like_the_others(linear):
    onnx.checker.check_model(onnx.load_from_string(linear.content), full_check=True)
    last = onnx.load_from_string(linear.content).metadata_props[-1]
    entry = onnx.ModelProto(metadata_props=[last])
    assert last.key == "content_sha256"
    assert linear.content.endswith(entry.SerializeToString())


def test_notes_cannot_pass_for_facts(linear_graph):
    facts = OnnxFacts(0.5, 8, "fp16", "0" * 64, {"sigma_data": "7", "format": "other", "content_sha256": "x", "a": "b"})
    found = parse_onnx(pack_onnx(linear_graph, facts), "it").facts
    assert (found.sigma_data, found.notes) == (0.5, {"a": "b"})


def test_remarks_of_the_exporter_are_left_out(linear_graph, facts):
    model = onnx.ModelProto()
    model.CopyFrom(linear_graph)
    model.graph.node[0].doc_string = model.doc_string = "/home/someone/secret.py"
    model.graph.node[1].metadata_props.add(key="stack", value="/home/someone/secret.py")
    assert b"secret" not in pack_onnx(model, facts)
    assert model.graph.node[0].doc_string  # of the caller's own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_data": 0.0}, "sigma_data must be positive"),
        ({"sigma_data": float("nan")}, "sigma_data must be positive"),
        ({"multiple": 0}, "multiple must be from 1"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"weights_sha256": "../etc"}, "64 hexadecimal digits"),
    ],
)
def test_facts_that_cannot_be(change, message):
    good = {"sigma_data": 0.5, "multiple": 8, "precision": "fp32", "weights_sha256": "0" * 64}
    with pytest.raises(ValueError, match=message):
        OnnxFacts(**good | change)


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def hidden_external(model):
    tensor = onnx.TensorProto(name="t", data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["cond"], ["y"], then_branch=inner, else_branch=inner))


def other_domain(model):
    model.graph.node[0].domain = "com.evil"


def hidden_domain(model):
    inner = onnx.helper.make_graph([onnx.helper.make_node("Run", [], [], domain="com.evil")], "g", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["cond"], ["y"], then_branch=inner, else_branch=inner))


def own_function(model):
    model.functions.add(name="f", domain="")


def other_format(model):
    model.metadata_props[[p.key for p in model.metadata_props].index("format")].value = "nilatron-onnx-9"


def no_multiple(model):
    del model.metadata_props[[p.key for p in model.metadata_props].index("multiple")]


def fixed_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def three_channels(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3


def half_input(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def renamed(model):
    model.graph.input[1].name = "sigma"


def more_outputs(model):
    model.graph.output.add().CopyFrom(model.graph.output[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "keeps tensors in other files"),
        (hidden_external, "keeps tensors in other files"),
        (other_domain, r"needs operators of com\.evil"),
        (hidden_domain, r"needs operators of com\.evil"),
        (own_function, "holds 1 functions"),
        (other_format, "expected an ONNX file of format 'nilatron-onnx-1', found 'nilatron-onnx-9'"),
        (no_multiple, "metadata do not fit"),
        (fixed_batch, r"expected inputs x .*found x of element type 1, \(1, 2"),
        (three_channels, r"found d of element type 1, \(None, 3"),
        (half_input, "found x of element type 10"),
        (renamed, r"found inputs \['x', 'sigma'\]"),
        (more_outputs, r"outputs \['d', 'd'\]"),
    ],
)
def test_files_that_are_not_what_the_format_asks_for(changed, change, message):
    with pytest.raises(WeightsError, match=message):
        parse_onnx(changed(change), "it")


def test_what_could_not_be_read_is_not_written(linear_graph, facts):
    model = onnx.ModelProto()
    model.CopyFrom(linear_graph)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(WeightsError, match="not valid ONNX"):
        pack_onnx(model, facts)


def test_an_unchanged_file_is_taken(changed):
    assert parse_onnx(changed(lambda _: None), "it").facts.multiple == 4


def test_damage_is_found_before_anything_is_parsed(linear, monkeypatch):
    monkeypatch.setattr(onnx_file, "import_package", None)
    generator = random.Random(5)  # noqa: S311
    content = linear.content
    for _ in range(300):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        with pytest.raises(WeightsError, match="is damaged"):
            parse_onnx(bytes(damaged), "it")
        with pytest.raises(WeightsError, match="is damaged"):
            parse_onnx(content[: generator.randrange(len(content))], "it")
        with pytest.raises(WeightsError, match="is damaged"):
            parse_onnx(content + bytes([generator.randrange(256)]), "it")


def test_forged_files_are_refused_or_taken_but_nothing_else(linear):
    generator = random.Random(6)  # noqa: S311
    body = linear.content[: -len(hash_entry(b""))]
    refused = 0
    for _ in range(600):
        forged = bytearray(body)
        for _ in range(generator.randrange(1, 4)):
            forged[generator.randrange(len(body))] = generator.randrange(256)
        try:
            parse_onnx(bytes(forged) + hash_entry(bytes(forged)), "it")
        except WeightsError:
            refused += 1
    assert 0 < refused < 600
