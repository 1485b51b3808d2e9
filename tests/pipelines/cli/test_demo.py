"""`nilatron demo` as from a shell."""


def test_an_engine_that_is_not_installed_leaves_nothing(command, folder, one_line, monkeypatch):
    monkeypatch.setattr("nilatron.pipelines.demo.build_node", refuse)
    code, out, err = command("demo", folder / "new", "--engine", "tensorrt")
    assert (code, out) == (2, "")
    assert "no TensorRT here" in one_line(err)
    assert list(folder.iterdir()) == []


def refuse(target, properties):
    from nilatron.core.errors import BadInputError

    assert properties == {"engine": "tensorrt"}
    raise BadInputError(f"{target}: no TensorRT here")
