"""The OpenRecon label: what it offers is what the chains have, and faults are found before an image is built."""

import base64
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nilatron import __version__
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.settings import from_properties
from nilatron.pipelines.chain.find import list_chains

FOLDER = Path(__file__).resolve().parents[1] / "docker"
LABEL_KEY = "com.siemens-healthineers.magneticresonance.openrecon.metadata:1.1.0"


def load_script():
    spec = importlib.util.spec_from_file_location("openrecon_label", FOLDER / "openrecon_label.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()
LABEL = json.loads((FOLDER / "openrecon.json").read_text())
PARAMETERS = {parameter["id"]: parameter for parameter in LABEL["parameters"]}


def test_the_label_survives_the_way_into_an_image():
    out = subprocess.run([sys.executable, FOLDER / "openrecon_label.py"], capture_output=True, text=True, check=True)  # noqa: S603
    assert json.loads(base64.b64decode(out.stdout.strip(), validate=True)) == LABEL
    assert f'LABEL "{LABEL_KEY}"="${{OPENRECON_LABEL}}"' in (FOLDER / "server.Dockerfile").read_text()
    assert LABEL["general"]["version"] == __version__


@pytest.mark.parametrize("chain", [choice["id"] for choice in PARAMETERS["config"]["values"]])
def test_the_label_offers_properties_of_its_chains_with_their_defaults(chain):
    assert chain in list_chains()
    settings_class = METHODS[chain].settings_class
    offered = {name: str(parameter["default"]) for name, parameter in PARAMETERS.items() if name != "config"}
    assert from_properties(settings_class, offered, chain) == settings_class()


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "config"])
def test_a_chain_takes_whatever_can_be_chosen(name):
    parameter = PARAMETERS[name]
    texts = [value["id"] for value in parameter.get("values", [])] or [parameter["minimum"], parameter["maximum"]]
    for text in map(str, texts):
        settings = from_properties(METHODS["nila"].settings_class, {name: text}, "nila")
        got = getattr(settings, name)
        assert (",".join(got) if isinstance(got, tuple) else str(got)) == text


FROZEN = {
    "config": {"nila"},
    "series": {"conventional,nila", "conventional,nila,uncertainty", "nila", "conventional"},
    "steps": set(),
    "samples": set(),
    "iterations": set(),
}
"""Parameters and choices that scanners have stored in their protocols: entries are added here, never changed or removed."""


@pytest.mark.parametrize("name", FROZEN)
def test_what_a_protocol_has_stored_is_still_offered(name):
    assert name in PARAMETERS
    assert FROZEN[name] <= {value["id"] for value in PARAMETERS[name].get("values", [])}


def test_whatever_is_offered_is_frozen():
    offered = {name: {value["id"] for value in parameter.get("values", [])} for name, parameter in PARAMETERS.items()}
    assert offered == FROZEN


def test_the_label_is_for_the_cpu_unless_a_gpu_is_asked_for(capsys):
    assert not LABEL["reconstruction"]["can_use_gpu"]
    assert LABEL["reconstruction"]["channel_compression"] == {"require_state": "off"}
    assert LABEL["general"]["license_string"] == "MIT"
    assert script.main(["--gpu"]) == 0
    label = json.loads(base64.b64decode(capsys.readouterr().out))
    assert label["reconstruction"] == LABEL["reconstruction"] | script.GPU
    assert (label["general"], label["parameters"]) == (LABEL["general"], LABEL["parameters"])


def change(path, value):
    label = json.loads(json.dumps(LABEL))
    place = label
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return label


def test_channel_compression_may_be_on_with_a_number():
    value = {"require_state": "on", "require_number_target_channels": 12}
    assert list(script.faults(change(["reconstruction", "channel_compression"], value))) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["general"], None, "expected the objects"),
        (["general", "version"], "0.1", "general: version cannot be"),
        (["general", "regulatory_information", "udi"], None, "regulatory_information cannot be"),
        (["reconstruction", "port"], None, "reconstruction: port is missing"),
        (["reconstruction", "injector"], "raw", "injector cannot be 'raw'"),
        (["reconstruction", "channel_compression"], {"require_state": "on"}, "channel_compression cannot be"),
        (["reconstruction", "channel_compression"], {"require_state": "maybe"}, "channel_compression cannot be"),
        (["reconstruction", "channel_compression"], "off", "channel_compression cannot be 'off'"),
        (["general", "license_string"], 1, "license_string cannot be 1"),
        (["general", "licence"], "MIT", "licence is unknown"),
        (["reconstruction", "gpus"], 1, "gpus is unknown"),
        (["parameters", 2, "id"], "sample_steps", "id cannot be 'sample_steps'"),
        (["parameters", 2, "id"], "samples", "same id"),
        (["parameters", 2, "default"], 1, "outside minimum and maximum"),
        (["parameters", 2, "default"], True, "default cannot be True"),
        (["parameters", 2, "type"], "float", "type must be one of"),
        (["parameters", 1, "default"], "none", "none of its values"),
        (["parameters"], [{"id": f"p{i}", "label": {"en": ""}, "type": "string"} for i in range(15)], "at most 14"),
    ],
)
def test_a_label_that_openrecon_would_refuse_is_not_printed(tmp_path, capsys, path, value, said):
    file = tmp_path / "label.json"
    file.write_text(json.dumps(change(path, value)))
    assert script.main([str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
