import pytest
import typer

from nilatron.pipelines.cli.app import BAD_INPUT
from nilatron.pipelines.cli.options import parse_properties


def test_a_value_may_hold_any_sign():
    assert parse_properties(["steps=7", " series =nila,conventional", "note=a=b", "empty="]) == {
        "steps": "7",
        "series": "nila,conventional",
        "note": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["steps", "=7", " =7"])
def test_what_is_no_property_is_bad_input(text, capsys):
    with pytest.raises(typer.Exit) as stopped:
        parse_properties([text])
    assert stopped.value.exit_code == BAD_INPUT
    assert f"got {text!r}" in capsys.readouterr().err
