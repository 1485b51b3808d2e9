import pytest

from nilatron.core.words import shown
from nilatron.pipelines.archive.origin import MAX_PARAMETERS


def test_derivation_and_algorithm_say_how_the_image_was_made(image, datasets):
    (data,) = datasets(image())
    weights = "ab" * 32
    assert data.DerivationDescription == (
        "Research only: not for diagnosis. "
        f"Reconstructed from raw data by Nilatron AI Nila, Nilatron 9.8, weights {weights}. sampler nila; steps 8; seed 7"
    )
    assert [(c.CodeValue, c.CodingSchemeDesignator) for c in data.DerivationCodeSequence] == [("RECON", "99NILATRON")]
    scanner, nilatron = data.ContributingEquipmentSequence
    assert nilatron.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Processing Equipment"
    assert (nilatron.Manufacturer, nilatron.SoftwareVersions) == ("Nilatron", "9.8")
    assert (nilatron.AlgorithmName, nilatron.AlgorithmVersion) == ("Nilatron AI Nila", "9.8")
    assert nilatron.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert nilatron.AlgorithmParameters.split("\n") == [
        "sampler=nila",
        "seed=7",
        "steps=8",
        "version=9.8",
        f"weights_sha256={weights}",
    ]
    assert scanner.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Acquisition Equipment"
    assert (scanner.Manufacturer, scanner.ManufacturerModelName, scanner.DeviceSerialNumber) == (
        "SIEMENS",
        "Aera",
        "12345",
    )
    assert (scanner.InstitutionName, scanner.StationName) == ("Site", "MR1")


def test_every_image_is_marked_as_research_and_as_derived(image, datasets):
    for data in datasets(image(), image(series=101)):
        assert data.ImageType[0] == "DERIVED"
        assert data.ContentQualification == "RESEARCH"
        assert "research" in data.SeriesDescription
        assert "research only" in data.ImageComments
        assert "not for diagnosis" in data.DerivationDescription


@pytest.mark.parametrize("reason", ["ghosts", "maps\\leave\nout"])
def test_doubts_and_fall_backs_are_told(image, datasets, reason):
    meta = {"nilatron_doubt": reason, "nilatron_fallback": "nila failed", "ImageComment": ["a", f"doubtful: {reason}"]}
    (data,) = datasets(image(meta=meta))
    assert "fallback nila failed; doubt " in data.DerivationDescription
    assert f"doubt={shown(reason)}" in data.ContributingEquipmentSequence[-1].AlgorithmParameters
    assert data.ImageComments == f"a; doubtful: {shown(reason)}"


def test_images_of_others_are_not_told_to_be_ours(image, datasets):
    source = image()
    source.attribute_string = "<ismrmrdMeta/>"
    (data,) = datasets(source)
    assert data.DerivationDescription == "Research only: not for diagnosis. Reconstructed from raw data by unknown"
    assert data.ContributingEquipmentSequence[-1].AlgorithmFamilyCodeSequence[0].CodeValue == "CONVENTIONAL"


def test_the_time_that_it_took_is_left_out_and_long_parameters_are_cut(image, datasets):
    (data,) = datasets(image(meta={"nilatron_seconds": "1.234", "nilatron_zzz": "x" * 2 * MAX_PARAMETERS}))
    assert len(data.DerivationDescription) <= 1024
    parameters = data.ContributingEquipmentSequence[-1].AlgorithmParameters
    assert "seconds" not in parameters
    assert len(parameters) == MAX_PARAMETERS


def test_a_scanner_without_a_name_is_left_out(image, datasets, bare_header):
    (data,) = datasets(image(), header=bare_header)
    assert [item.Manufacturer for item in data.ContributingEquipmentSequence] == ["Nilatron"]
