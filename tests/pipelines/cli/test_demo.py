"""`nilatron demo` as from a shell."""

import re


def test_an_unknown_engine_leaves_nothing(command, folder, one_line):
    code, out, err = command("demo", folder / "new", "--engine", "tpu")
    assert (code, out) == (2, "")
    assert re.search("engine must be one of torch, onnx, openvino, tensorrt", one_line(err))
    assert list(folder.iterdir()) == []
