"""How an image was made and by what, in DICOM's words: derivation, equipment, algorithm, and that it is for research."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nilatron import __version__
from nilatron.core.words import shown
from nilatron.pipelines.archive.acquisition import plain, set_scanner, value_at
from nilatron.pipelines.archive.identity import VOLATILE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PREFIX = "nilatron_"
MAX_DESCRIPTION, MAX_PARAMETERS = 1024, 10240  # characters of DICOM's ST and LT
TOLD = ("sampler", "steps", "samples", "seed", "noise_source", "chi2", "fallback", "doubt")  # of the provenance
NETWORK = "weights_sha256"  # what only an image of a network has
ACQUISITION = ("109101", "Acquisition Equipment")
PROCESSING = ("109102", "Processing Equipment")
AI = ("123110", "Artificial Intelligence")
OWN_SCHEME = "99NILATRON"
CONVENTIONAL = ("CONVENTIONAL", "Reconstruction without a network", OWN_SCHEME)
RECONSTRUCTION = ("RECON", "Reconstruction from raw data", OWN_SCHEME)  # the standard's list of derivations has none
UNCERTAINTY = ("UNCERTAINTY", "Standard deviation of the error of a reconstruction", OWN_SCHEME)
RESEARCH = "Research only: not for diagnosis"


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """An item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def words(meta: Mapping[str, Any], name: str, default: str = "") -> list[str]:
    """A metadata element as a list of texts."""
    found = meta.get(name, default)
    return [shown(str(part)) for part in (found if isinstance(found, list) else [found])]


def provenance_of(meta: Mapping[str, Any]) -> dict[str, str]:
    """What an image says about its making, by name."""
    return {
        shown(name.removeprefix(PREFIX)): shown(str(value))
        for name, value in sorted(meta.items())
        if name.startswith(PREFIX) and name not in VOLATILE
    }


def algorithm_of(meta: Mapping[str, Any]) -> str:
    """Name of what made the image."""
    return plain(" ".join(words(meta, "ImageProcessingHistory", "unknown")))


def parameters_of(meta: Mapping[str, Any]) -> str:
    """How it was made, as NAME=VALUE lines."""
    return "\n".join(f"{name}={value}" for name, value in provenance_of(meta).items())[:MAX_PARAMETERS]


def maker_of(meta: Mapping[str, Any]) -> str:
    """Program that made the image, with its version; empty where the image does not say."""
    version = provenance_of(meta).get("version")
    return f"Nilatron {version}" if version else ""


def is_uncertainty(meta: Mapping[str, Any]) -> bool:
    """Whether the pixels are standard deviations."""
    return "UNCERTAINTY" in words(meta, "ImageType")


def derivation_of(meta: Mapping[str, Any]) -> str:
    """The derivation in a sentence."""
    made = provenance_of(meta)
    by = [algorithm_of(meta), maker_of(meta), f"weights {made[NETWORK]}" if NETWORK in made else ""]
    told = [f"{name} {made[name]}" for name in TOLD if name in made]
    sentences = (RESEARCH, f"Reconstructed from raw data by {', '.join(filter(None, by))}", "; ".join(told))
    return plain(". ".join(filter(None, sentences)), MAX_DESCRIPTION)


def describe_origin(data: Any, header: Any, meta: Mapping[str, Any]) -> None:
    """Set derivation, contributing equipment and research mark of a DICOM object, from the metadata of its image."""
    data.DerivationDescription = derivation_of(meta)
    data.DerivationCodeSequence = [code(*(UNCERTAINTY if is_uncertainty(meta) else RECONSTRUCTION))]
    data.ContributingEquipmentSequence = [*scanner_item(header), processing_item(meta)]
    data.ContentQualification = "RESEARCH"
    data.ImageComments = "; ".join(words(meta, "ImageComment", "research only"))[:MAX_PARAMETERS]


def scanner_item(header: Any) -> list[Dataset]:
    """The scanner as contributing equipment, if the header names its maker."""
    from pydicom.dataset import Dataset

    if not value_at(header, "acquisitionSystemInformation", "systemVendor"):
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code(*ACQUISITION)]
    set_scanner(item, header)
    return [item]


def processing_item(meta: Mapping[str, Any]) -> Dataset:
    """Nilatron as contributing equipment, with the identification of its algorithm."""
    from pydicom.dataset import Dataset

    made = provenance_of(meta)
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code(*PROCESSING)]
    item.Manufacturer = item.ManufacturerModelName = "Nilatron"
    item.SoftwareVersions = version = plain(made.get("version", __version__))
    item.ContributionDescription = f"Reconstruction. {RESEARCH}"
    item.AlgorithmFamilyCodeSequence = [code(*(AI if NETWORK in made else CONVENTIONAL))]
    item.AlgorithmName, item.AlgorithmVersion = algorithm_of(meta), version
    item.AlgorithmParameters, item.AlgorithmSource = parameters_of(meta), "Nilatron"
    return item
