"""Settings of the server from a file and the environment; the command line counts most."""

import tomllib

import pytest

from nilatron.core.errors import BadInputError
from nilatron.pipelines.cli.sources import ServeSources, as_toml, read_sources


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "serve.toml"
        path.write_text(text)
        return path

    return write


def test_the_environment_counts_more_than_the_file(toml, monkeypatch):
    path = toml('port = 1\nmax_scans = 2\nconfig_dir = ["a"]\nfire = true')
    monkeypatch.setenv("NILATRON_SERVE_MAX_SCANS", "3")
    monkeypatch.setenv("NILATRON_SERVE_CONFIG_DIR", "b:c")
    found = read_sources(path)
    assert found["port"] == (1, str(path))
    assert found["fire"] == (True, str(path))
    assert found["max_scans"] == (3, "NILATRON_SERVE_MAX_SCANS")
    assert [str(folder) for folder in found["config_dir"][0]] == ["b", "c"]
    assert found.keys() == {"port", "max_scans", "config_dir", "fire"}


def test_nothing_is_set_where_there_is_nothing(monkeypatch):
    monkeypatch.setenv("NILATRON_SERVE_SETTINGS", "it names the file, which the command line has read")
    assert read_sources(None) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prot = 1", r"unknown setting 'prot'; known: host, port"),
        ("port = 'many'\nidle_s = 'long'", r"port cannot be 'many': .*; .*idle_s cannot be 'long': "),
        ("port = ", "serve.toml: "),
    ],
)
def test_wrong_files_are_named_with_every_fault(toml, text, reason):
    with pytest.raises(BadInputError, match=reason) as caught:
        read_sources(toml(text))
    assert "serve.toml" in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(BadInputError, match="no such file"):
        read_sources(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("NILATRON_SERVE_PORTS", "unknown environment variable NILATRON_SERVE_PORTS; known: NILATRON_SERVE_HOST"),
        ("NILATRON_SERVE_PORT", "NILATRON_SERVE_PORT cannot be 'many'"),
    ],
)
def test_wrong_variables_are_named(monkeypatch, variable, reason):
    monkeypatch.setenv(variable, "many")
    with pytest.raises(BadInputError, match=reason):
        read_sources(None)


def test_what_is_printed_is_such_a_file(toml):
    values = {"host": 'a"ä', "port": 1, "idle_s": 2.5, "fire": False, "config_dir": ("x", "y"), "engine": None}
    text = as_toml(values, dict.fromkeys(values, "default"))
    assert tomllib.loads(text) == {"host": 'a"ä', "port": 1, "idle_s": 2.5, "fire": False, "config_dir": ["x", "y"]}
    assert "# engine is not set  # default" in text.splitlines()
    assert set(read_sources(toml(text))) == set(values) - {"engine"}


def test_print_config_says_where_everything_comes_from(command, toml, monkeypatch):
    path = toml("port = 1\nmax_scans = 2\ngrace_s = 3")
    monkeypatch.setenv("NILATRON_SERVE_MAX_SCANS", "4")
    monkeypatch.setenv("NILATRON_SERVE_SETTINGS", str(path))
    code, out, err = command("serve", "--grace-s", "5", "--print-config")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert f"port = 1  # {path}" in lines
    assert "max_scans = 4  # NILATRON_SERVE_MAX_SCANS" in lines
    assert "grace_s = 5.0  # command line" in lines
    assert "idle_s = 900.0  # default" in lines
    assert tomllib.loads(out).keys() <= set(ServeSources.model_fields)


def test_a_value_beyond_the_range_of_its_option_is_exit_code_2(command, monkeypatch):
    monkeypatch.setenv("NILATRON_SERVE_PORT", "70000")
    code, _, err = command("serve", "--print-config")
    assert code == 2
    assert "--port" in err
