"""ONNX networks to convert."""

from __future__ import annotations

from pathlib import Path

from hostile.entering import ELSEWHERE, hostile


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
