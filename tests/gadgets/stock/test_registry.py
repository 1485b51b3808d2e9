"""Stock gadgets by name, and what stays unloaded without them."""

import subprocess
import sys
from pathlib import Path

import pytest

from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS

ROOT = Path(__file__).resolve().parents[3]


def test_every_gadget_is_made_from_its_properties_and_refuses_others():
    for name, make in STOCK_GADGETS.items():
        assert type(make({})).__name__ == name
        with pytest.raises(SettingsError, match="no_such_property"):
            make({"no_such_property": "1"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    ["nilatron.gadgets.stock.types", "nilatron.pipelines.wire", "nilatron.pipelines.conversation.conversation"],
)
def test_reading_begins_without_the_heavy_libraries(module):
    program = (
        f"import sys, {module}; print(sorted(sys.modules.keys() & {{'torch', 'scipy', 'matplotlib', 'safetensors'}}))"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
