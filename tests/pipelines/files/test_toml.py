import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.toml import MOST_BYTES, read_toml_file


def test_tables_are_read(tmp_path):
    (tmp_path / "a.toml").write_text("a = 1\n[b]\nc = ['ä']", encoding="utf-8")
    assert read_toml_file(tmp_path / "a.toml") == {"a": 1, "b": {"c": ["ä"]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "cannot be read as TOML: Invalid value"),
        (b"a = '\xff'", "codec can't decode"),
        (b"a = " + b"[" * 5000, "recursion"),
        (b"a = " + b"9" * 5000, "4300 digits"),
        (b"#" * (MOST_BYTES + 1), f"more than {MOST_BYTES} bytes"),
    ],
)
def test_what_is_no_toml_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_toml_file(tmp_path / "a.toml")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_toml_file(tmp_path / "a.toml")
