"""Grammar of the chains that Gadgetron 4.7.2 accepts: XML elements, and the classes in its own libraries.

The embedded host (`chain.xml`) accepts fewer elements; this grammar is for chains that are meant for a server. Libraries that
do not belong to Gadgetron may hold any class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from nilatron.pipelines.chain.located import Problem, line_of, parse_located
from nilatron.pipelines.chain.xml import LEGACY_ROOT, ChainError

NODES = ("gadget", "external", "parallel", "distributed", "parallelprocess", "puredistributed")
LANGUAGES = ("python", "matlab", "julia")

_MRICORE_READERS = """
    GadgetIsmrmrdAcquisitionMessageReader GadgetIsmrmrdWaveformMessageReader MRIImageReader
"""
_MRICORE_WRITERS = """
    DependencyQueryWriter GadgetIsmrmrdAcquisitionMessageWriter GadgetIsmrmrdWaveformMessageWriter MRIImageWriter
"""
_MRICORE_GADGETS = """
    AccumulatorGadget AcquisitionAccumulateTriggerGadget AsymmetricEchoAdjustROGadget AugmentImageMetadataGadget
    AutoScaleGadget BucketToBufferGadget CoilComputationGadget CoilReductionGadget CombineGadget ComplexToFloatGadget
    CropAndCombineGadget DenoiseGadget DependencyQueryGadget ExtractGadget FFTGadget FlagTriggerGadget FloatToIntGadget
    FloatToShortGadget FloatToUIntGadget FloatToUShortGadget FlowPhaseSubtractionGadget
    GenericImageReconArrayToImageGadget GenericImageReconGadget GenericReconAccumulateImage2DTriggerGadget
    GenericReconAccumulateImage3DTriggerGadget GenericReconCartesianFFTGadget GenericReconCartesianGrappaAIGadget
    GenericReconCartesianGrappaGadget GenericReconCartesianNonLinearSpirit2DTGadget
    GenericReconCartesianReferencePrepGadget GenericReconCartesianSpiritGadget GenericReconEigenChannelGadget
    GenericReconFieldOfViewAdjustmentGadget GenericReconImageArrayScalingGadget GenericReconImageToImageArrayGadget
    GenericReconKSpaceFilteringGadget GenericReconNoiseStdMapComputingGadget
    GenericReconPartialFourierHandlingFilterGadget GenericReconPartialFourierHandlingPOCSGadget
    GenericReconReferenceKSpaceDelayedBufferGadget ImageAccumulatorGadget ImageArraySplitGadget ImageFFTGadget
    ImageFinishGadget ImageIndexGadget ImageResizingGadget ImageSortGadget IsmrmrdDumpGadget MaxwellCorrectionGadget
    NoiseAdjustGadget NoiseAdjustGadget_unoptimized NoiseSummaryGadget PCACoilGadget PartialFourierAdjustROGadget
    PhysioInterpolationGadget RemoveROOversamplingGadget ScaleGadget SimpleReconGadget
"""
_EPI_GADGETS = (
    "CutXGadget EPICorrGadget EPIPackNavigatorGadget EPIReconXGadget FFTXGadget FFTYZGadget OneEncodingGadget"
)
_CORE_ITEMS = ("Acquisition", "Waveform", "Image", "Buffer", "IsmrmrdImageArray", "AcquisitionBucket", "Text")

STOCK_CLASSES: dict[str, dict[str, frozenset[str]]] = {
    "gadgetron_mricore": {
        "reader": frozenset(_MRICORE_READERS.split()),
        "writer": frozenset(_MRICORE_WRITERS.split()),
        "gadget": frozenset(_MRICORE_GADGETS.split()),
    },
    "gadgetron_core_readers": {"reader": frozenset(f"{item}Reader" for item in _CORE_ITEMS)},
    "gadgetron_core_writers": {"writer": frozenset(f"{item}Writer" for item in _CORE_ITEMS)},
    "gadgetron_core_parallel": {
        "branch": frozenset({"AcquisitionFanout", "WaveformFanout", "ImageFanout"}),
        "merge": frozenset({"UnorderedMerge"}),
    },
    "gadgetron_epi": {"gadget": frozenset(_EPI_GADGETS.split())},
    "gadgetron_dicom": {"gadget": frozenset({"DicomFinishGadget"}), "writer": frozenset({"DicomImageWriter"})},
}
"""Classes of each library and kind of element."""


@dataclass(frozen=True)
class _Rule:
    """Children that an element must have once, may have once, or may have any number of times; and its attributes."""

    once: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    attributes: dict[str, bool] = field(default_factory=dict)  # name: whether it is required


_CLASS = _Rule(once=("dll", "classname"), optional=("name",), many=("property",))
_PORTS = ("readers", "writers")
_STREAM = _Rule(many=NODES, attributes={"key": False})
_RULES = {
    "configuration": _Rule(once=("version", "stream"), optional=_PORTS),
    "readers": _Rule(many=("reader",)),
    "writers": _Rule(many=("writer",)),
    "reader": _Rule(once=("dll", "classname"), optional=("slot",)),
    "writer": _Rule(once=("dll", "classname"), optional=("slot",)),
    "stream": _STREAM,
    "gadget": _CLASS,
    "branch": _CLASS,
    "merge": _CLASS,
    "distributor": _CLASS,
    "external": _Rule(optional=("configuration", "execute", "connect", *_PORTS)),
    "execute": _Rule(attributes={"name": True, "target": False, "type": True}),
    "connect": _Rule(attributes={"address": False, "port": True}),
    "parallel": _Rule(once=("branch", "merge"), many=("stream",)),
    "distributed": _Rule(once=("distributor", "stream"), optional=_PORTS),
    "parallelprocess": _Rule(once=("purestream",), attributes={"workers": False}),
    "puredistributed": _Rule(once=("purestream",), optional=_PORTS),
    "purestream": _Rule(many=("gadget",)),
    LEGACY_ROOT: _Rule(many=("reader", "writer", "gadget")),
}
_LEAVES = ("version", "dll", "classname", "name", "slot")


def check_grammar(xml: bytes | str, name: str = "chain") -> None:
    """Check a chain against the grammar.

    Raises
    ------
    ChainError
        When Gadgetron would refuse or misunderstand a part of the chain; the message lists all of them.
    """
    problems = grammar_problems(parse_located(xml, name))
    if problems:
        raise ChainError(f"chain {name!r} is nothing that Gadgetron would run: {'; '.join(map(str, problems))}")


def grammar_problems(root: Element) -> list[Problem]:
    """What Gadgetron would refuse or misunderstand in a chain."""
    if root.tag not in ("configuration", LEGACY_ROOT):
        return [Problem(line_of(root), f"root element <{root.tag}>; expected <configuration>")]
    return _problems(root, "")


def _problems(element: Element, where: str) -> list[Problem]:
    tag = str(element.tag)
    path = f"{where}/{tag}"
    rule = _RULES[tag]
    texts = _children(element, rule) + _attributes(element, rule)
    check = _CHECKS.get(tag)
    if check is not None:
        texts += check(element)
    if "dll" in rule.once:
        texts += _class(element)
    if tag == "external" and "distributed" in where:
        texts.append("inside a distributed stream Gadgetron loses target and address; put it outside")
    found = [Problem(line_of(element), f"{path}: {text}") for text in texts]
    for child in element:
        found += _problems_of_child(child, element, rule, path)
    return found


def _problems_of_child(child: Element, parent: Element, rule: _Rule, path: str) -> list[Problem]:
    allowed = (*rule.once, *rule.optional, *rule.many)
    if child.tag not in allowed:
        text = f"{path}: unknown element <{child.tag}>; allowed: {', '.join(allowed) or 'none'}"
        return [Problem(line_of(child), text)]
    if child.tag == "property":
        return [Problem(line_of(child), f"{path}/property: {text}") for text in _property(child, path)]
    if child.tag in _RULES and not (parent.tag == "external" and child.tag == "configuration"):
        return _problems(child, path)
    if child.tag in _LEAVES and len(child):
        return [Problem(line_of(child), f"{path}/{child.tag}: expected text alone")]
    return []


def _children(element: Element, rule: _Rule) -> list[str]:
    counts = Counter(str(child.tag) for child in element)
    found = [f"expected one <{tag}>, got {counts[tag]}" for tag in rule.once if counts[tag] != 1]
    return found + [f"expected at most one <{tag}>, got {counts[tag]}" for tag in rule.optional if counts[tag] > 1]


def _attributes(element: Element, rule: _Rule) -> list[str]:
    names = [name for name in element.attrib if not name.startswith("{")]  # of another namespace, as xsi:schemaLocation
    found = [f"unknown attribute {name!r}" for name in names if name not in rule.attributes]
    needed = [name for name, required in rule.attributes.items() if required]
    return found + [f"attribute {name!r} is missing" for name in needed if not element.get(name, "").strip()]


def _property(element: Element, path: str) -> list[str]:
    short = "name" in element.attrib and "value" in element.attrib
    long = element.find("name") is not None and element.find("value") is not None
    if LEGACY_ROOT in path:
        return [] if long else ["expected elements <name> and <value>"]
    if short == long:
        return [f"expected attributes name and value, or elements <name> and <value>, not {'both' * long}"]
    return []


def _class(element: Element) -> list[str]:
    library, name = ((element.findtext(tag) or "").strip() for tag in ("dll", "classname"))
    if not library or not name:
        return ["<dll> or <classname> is empty"]
    kinds = STOCK_CLASSES.get(library)
    if kinds is None or name in kinds.get(str(element.tag), ()):
        return []
    return [f"{library} has no {element.tag} {name!r}"]


def _version(element: Element) -> list[str]:
    version = (element.findtext("version") or "").strip()
    return [] if version == "2" else [f"expected <version>2</version>, got {version!r}"]


def _external(element: Element) -> list[str]:
    n_ways = sum(child.tag in ("execute", "connect") for child in element)
    return [] if n_ways == 1 else [f"expected one of <execute> and <connect>, got {n_ways}"]


def _execute(element: Element) -> list[str]:
    language, target = element.get("type"), element.get("target", "").strip()
    if language not in LANGUAGES:
        return [f"type {language!r}; expected one of {', '.join(LANGUAGES)}"]
    return [] if target or language != "python" else ["attribute 'target' is missing"]


def _connect(element: Element) -> list[str]:
    port = element.get("port", "")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    return [] if is_port else [f"port {port!r}; expected a number from 1 to 65535"]


def _parallel(element: Element) -> list[str]:
    keys = [stream.get("key") for stream in element.findall("stream")]
    return [] if len(set(keys) - {None}) == len(keys) > 0 else ["every <stream> needs a key of its own"]


_CHECKS = {
    "configuration": _version,
    "external": _external,
    "execute": _execute,
    "connect": _connect,
    "parallel": _parallel,
}
