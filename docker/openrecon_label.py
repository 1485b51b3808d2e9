"""Print docker/openrecon.json as an OpenRecon image label: checked against the rules of label version 1.1.0, in base64.

Needs nothing but Python:  python docker/openrecon_label.py [--gpu] [FILE]
The file's label is that of an image for the CPU; --gpu makes it that of an image for one GPU.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LABEL_FILE = Path(__file__).with_name("openrecon.json")
MAX_PARAMETERS = 14
ID = re.compile(r"[A-Za-z0-9]+")
SEMANTIC_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")

Rule = Callable[[Any], bool]


def text(value: Any) -> bool:
    """A string."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def whole(value: Any) -> bool:
    """A whole number that fits 32 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def at_least(least: int) -> Rule:
    """A whole number from `least` up."""
    return lambda value: whole(value) and value >= least


def tenths(value: Any) -> bool:
    """A number that the console can show: a multiple of 0.1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(10 * value - round(10 * value)) < 1e-9


def english(value: Any) -> bool:
    """A text for people, by language; English must be there."""
    return isinstance(value, dict) and text(value.get("en"))


def unit(value: Any) -> bool:
    """One to three characters."""
    return english(value) and 1 <= len(value["en"]) <= 3


def choice(value: Any) -> bool:
    """An id and a name."""
    return isinstance(value, dict) and set(value) == {"id", "name"} and text(value["id"]) and english(value["name"])


def choices(value: Any) -> bool:
    """What can be chosen: a list of ids with names."""
    return isinstance(value, list) and bool(value) and all(map(choice, value))


def compression(value: Any) -> bool:
    """Channel compression: off, or on with a number of channels."""
    if not isinstance(value, dict):
        return False
    number = value.get("require_number_target_channels")
    if value.get("require_state") == "on":
        return at_least(1)(number) and len(value) == 2
    return value == {"require_state": "off"}


def regulatory(value: Any) -> bool:
    """All fields of the device's identification; they may be empty."""
    return isinstance(value, dict) and set(value) == REGULATORY and all(map(text, value.values()))


def one_of(*allowed: str) -> Rule:
    """One of these texts."""
    return lambda value: value in allowed


REGULATORY = {
    "device_trade_name",
    "production_identifier",
    "manufacturer_address",
    "made_in",
    "manufacture_date",
    "material_number",
    "gtin",
    "udi",
    "safety_advices",
    "special_operating_instructions",
    "additional_relevant_information",
}
GENERAL: dict[str, Rule] = {
    "id": text,
    "name": english,
    "version": lambda value: text(value) and bool(SEMANTIC_VERSION.fullmatch(value)),
    "vendor": text,
    "information": english,
    "regulatory_information": regulatory,
}
GENERAL_OPTIONAL: dict[str, Rule] = {"license_string": text}
RECONSTRUCTION: dict[str, Rule] = {
    "transfer_protocol": lambda value: value == {"protocol": "ISMRMRD", "version": "1.4.1"},
    "port": whole,
    "emitter": one_of("raw", "image"),
    "injector": one_of("compleximage", "image"),
    "can_use_gpu": flag,
    "min_required_memory": at_least(0),
    "min_count_required_cpu_cores": at_least(1),
}
RECONSTRUCTION_OPTIONAL: dict[str, Rule] = {
    "can_process_adjustment_data": flag,
    "min_count_required_gpus": at_least(0),
    "min_required_gpu_memory": at_least(0),
    "content_qualification_type": one_of("PRODUCT", "SERVICE", "RESEARCH"),
    "require_readout_filter_off": flag,
    "channel_compression": compression,
}
GPU = {"can_use_gpu": True, "min_count_required_gpus": 1, "min_required_gpu_memory": 8192}  # one, with so many MiB
TOP = {"general": dict, "reconstruction": dict, "parameters": list}
PARAMETER: dict[str, Rule] = {
    "type": text,
    "id": lambda value: text(value) and bool(ID.fullmatch(value)),
    "label": english,
}
PARAMETER_OPTIONAL: dict[str, Rule] = {"information": english}
KINDS: dict[str, tuple[dict[str, Rule], dict[str, Rule]]] = {  # what each type must have, and may have
    "boolean": ({"default": flag}, {}),
    "string": ({}, {"default": text, "isLargeText": flag}),
    "choice": ({"default": text, "values": choices}, {}),
    "int": ({"minimum": whole, "maximum": whole, "default": whole}, {"unit": unit}),
    "double": ({"minimum": tenths, "maximum": tenths, "default": tenths}, {"unit": unit}),
}


def faults(label: Mapping[str, Any]) -> Iterator[str]:
    """What OpenRecon would refuse, or cannot show: one line each."""
    if {name: type(value) for name, value in label.items()} != TOP:
        yield f"expected the objects general and reconstruction and the list parameters, got {', '.join(label)}"
        return
    yield from fields("general", label["general"], GENERAL, GENERAL_OPTIONAL)
    yield from fields("reconstruction", label["reconstruction"], RECONSTRUCTION, RECONSTRUCTION_OPTIONAL)
    if len(label["parameters"]) > MAX_PARAMETERS:
        yield f"at most {MAX_PARAMETERS} parameters, got {len(label['parameters'])}"
    parameters = [parameter for parameter in label["parameters"] if isinstance(parameter, dict)]
    if len(parameters) != len(label["parameters"]):
        yield "a parameter is not an object"
    ids = [str(parameter.get("id")) for parameter in parameters]
    if len(set(ids)) != len(ids):
        yield "two parameters have the same id"
    for parameter in parameters:
        yield from parameter_faults(parameter)


def parameter_faults(parameter: Mapping[str, Any]) -> Iterator[str]:
    """The faults of one parameter: its fields, and a default outside what can be chosen."""
    where = f"parameter {parameter.get('id')!r}"
    if str(parameter.get("type")) not in KINDS:
        yield f"{where}: type must be one of {', '.join(KINDS)}, got {parameter.get('type')!r}"
        return
    needed, optional = KINDS[parameter["type"]]
    found = list(fields(where, parameter, PARAMETER | needed, PARAMETER_OPTIONAL | optional))
    yield from found
    if found:
        return
    if "values" in parameter and parameter["default"] not in [entry["id"] for entry in parameter["values"]]:
        yield f"{where}: the default is none of its values"
    if "minimum" in parameter and not parameter["minimum"] <= parameter["default"] <= parameter["maximum"]:
        yield f"{where}: the default is outside minimum and maximum"


def fields(where: str, found: Mapping[str, Any], needed: dict[str, Rule], optional: dict[str, Rule]) -> Iterator[str]:
    """Missing, unknown and wrong fields of one object."""
    for name in needed.keys() - found.keys():
        yield f"{where}: {name} is missing"
    for name, value in found.items():
        rule = needed.get(name) or optional.get(name)
        if rule is None:
            yield f"{where}: {name} is unknown"
        elif not rule(value):
            yield f"{where}: {name} cannot be {value!r}"


def encode(label: Mapping[str, Any]) -> str:
    """Base64 of the label's JSON; raises ValueError with all faults."""
    found = sorted(faults(label))
    if found:
        raise ValueError("\n".join(found))
    return base64.b64encode(json.dumps(label, indent=2).encode()).decode("ascii")


def read(path: Path, *, gpu: bool) -> dict[str, Any]:
    """The label of a file, for an image that needs a GPU or for one that needs none."""
    label: dict[str, Any] = json.loads(path.read_text())
    if gpu:
        label["reconstruction"] |= GPU
    return label


def main(arguments: list[str]) -> int:
    """Print the label; 2 and the faults on stderr where there are any."""
    files = [argument for argument in arguments if argument != "--gpu"]
    path = Path(files[0]) if files else LABEL_FILE
    try:
        sys.stdout.write(encode(read(path, gpu="--gpu" in arguments)) + "\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
