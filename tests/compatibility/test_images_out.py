"""Images as they leave: pixels, series, metadata, nothing of the patient, the same every time."""

import re

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.gadgets.images import MAX_INDEX, ImageMaker, ImageSettings
from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node

QUICK = {"steps": 2}
BOTH_FAMILIES = ("DataRole", "ImageComment", "ImageProcessingHistory", "WindowCenter", "WindowWidth")
PROVENANCE = ("version", "weights_sha256", "sampler", "steps", "seed", "sigma_used", "scale", "acceleration", "chi2")


@pytest.mark.slow
@pytest.mark.row("F2.29")
@pytest.mark.parametrize(
    ("pixel_type", "code", "tolerance"),
    [("uint16", 1, 0.01), ("int16", 2, 0.01), ("float32", 5, 0), ("complex64", 7, 0)],
)
def test_pixel_types(simulated, converse, pixel_type, code, tolerance):
    scan = simulated()
    (expected,) = converse(scan).images
    reply = converse(scan, pixel_type=pixel_type, image_scale=10)
    assert reply.error is None
    (image,) = reply.images
    assert image.data_type == code
    assert np.linalg.norm(np.abs(image.data) / 10 - expected.data) <= (tolerance + 1e-6) * np.linalg.norm(expected.data)


@pytest.mark.row("F2.29")
def test_saturation_is_told(simulated, converse):
    reply = converse(simulated(), pixel_type="int16", image_scale=1e4)
    (image,) = reply.images
    assert "pixels saturated, lower image_scale" in reply.error
    assert int(image.meta["nilatron_saturated_pixels"]) > 0
    assert image.data.max() == 32767


@pytest.mark.row("F2.29")
def test_more_images_than_an_index_can_count(simulated, monkeypatch):
    scan = simulated(matrix=(8, 8, 1), n_coils=1)
    maker = ImageMaker(ImageSettings())
    made = []
    monkeypatch.setattr("nilatron.gadgets.node.ImageMaker", lambda _: lambda items, _: made.extend(items) or iter(()))
    list(build_node("zero_filled", {})(iter(scan.items), Context(scan.header)))
    maker.numbering.given[1] |= {1, MAX_INDEX - 1}
    images = [maker.make(made[0], Context(scan.header)) for _ in range(3)]
    assert [image.image_index for image in images] == [65535, 1, 2]
    assert images[1].meta["GADGETRON_ImageNumber"] == "65536"


@pytest.mark.slow
@pytest.mark.row("F2.30")
def test_a_second_and_a_third_series(simulated, converse):
    scan = simulated(n_slices=2, angles_deg=(10.0, 20.0, 30.0))
    properties = {"series": "conventional,nila,uncertainty", "samples": 2, "sample_steps": 2, **QUICK}
    reply = converse(scan, target="nila", **properties)
    assert reply.error is None
    assert [image.image_series_index for image in reply.images] == [2, 1, 101] * 2
    for start in (0, 3):
        conventional, nila, uncertainty = reply.images[start : start + 3]
        for image in (nila, uncertainty):
            for name in ("position", "read_dir", "phase_dir", "slice_dir", "field_of_view", "matrix_size"):
                assert list(getattr(image, name)) == list(getattr(conventional, name))
            assert (image.slice, image.image_index) == (conventional.slice, conventional.image_index)
        assert len({image.meta["SeriesDescription"][0] for image in reply.images[start : start + 3]}) == 3
        assert nila.meta["DataRole"] == "Image"
        assert uncertainty.meta["DataRole"] == ["Image", "Quantitative"]
        scale = np.sum(nila.data * conventional.data) / np.sum(nila.data**2)
        assert scale == pytest.approx(1, abs=0.1)
        assert 0 < uncertainty.data.max() < nila.data.max()


@pytest.mark.row("F2.31")
def test_keys_of_gadgetron_and_of_fire(simulated, converse):
    (_, nila) = converse(simulated(), target="nila", **QUICK).images
    for name in BOTH_FAMILIES:
        assert nila.meta[name] == nila.meta[f"GADGETRON_{name}"]
    assert nila.meta["Keep_image_geometry"] == "1"
    assert len(nila.meta["encoding_FOV"]) == len(nila.meta["recon_FOV"]) == 3
    missing = [name for name in PROVENANCE if not nila.meta.get(f"nilatron_{name}")]
    assert missing == []


@pytest.mark.row("F2.31")
def test_attributes_that_are_not_ascii_or_long_pass_unchanged(simulated, converse):
    """An image that comes in leaves with the bytes of its attributes."""
    image = ismrmrd.Image.from_array(np.zeros((2, 2), np.float32))
    image.attribute_string = ismrmrd.Meta({"Ort": "Zürich 李", "long": "x" * 100_000}).serialize()
    scan = simulated()
    reply = converse(scan, [image, *scan.items])
    passed = reply.images[0]
    assert passed.meta["Ort"] == "Zürich 李"
    assert len(passed.meta["long"]) == 100_000
    assert len(reply.images) == 2


SECRETS = {
    "patientName": "Quintessa Vandersloot",
    "patientID": "PID-7781234",
    "patientBirthdate": "1961-03-04",
    "studyID": "STUDY-55621",
    "accessionNumber": "991827364",
    "referringPhysicianName": "Ottokar Weissgerber",
    "studyDescription": "Rule out xanthoma",
    "studyInstanceUID": "1.2.276.0.7230010.3.1.2.8323329",
    "stationName": "MRC40887",
    "institutionName": "Kreiskrankenhaus Unterhausen",
    "deviceSerialNumber": "SN-448812",
    "coilName": "HeadNeckCoil_SN5512",
    "protocolName": "prot_vandersloot",
}


@pytest.mark.row("F2.33")
@pytest.mark.parametrize("fails", [False, True])
def test_no_identifier_of_the_header_is_in_what_the_node_sends(simulated, converse, fails):
    scan = simulated()
    xml = ToXML(scan.header)
    s = SECRETS
    subject = "".join(f"<{n}>{s[n]}</{n}>" for n in ("patientName", "patientID", "patientBirthdate"))
    study = "".join(
        f"<{n}>{s[n]}</{n}>"
        for n in ("studyID", "accessionNumber", "referringPhysicianName", "studyDescription", "studyInstanceUID")
    )
    system = "".join(f"<{n}>{s[n]}</{n}>" for n in ("stationName", "institutionName", "deviceID") if n in s)
    xml = re.sub(
        "<subjectInformation>.*?</subjectInformation>",
        f"<subjectInformation>{subject}</subjectInformation><studyInformation>{study}</studyInformation>",
        xml,
        flags=re.S,
    )
    xml = re.sub(
        "(<acquisitionSystemInformation>)",
        rf"\1{system}<coilLabel><coilNumber>0</coilNumber><coilName>{s['coilName']}</coilName></coilLabel>",
        xml,
    )
    xml = re.sub("<protocolName>.*?</protocolName>", f"<protocolName>{s['protocolName']}</protocolName>", xml)
    present = [value for value in s.values() if value in xml]
    assert len(present) >= 11
    if fails:
        scan.imaging[-1].idx.kspace_encode_step_1 = 999
    reply = converse(xml.encode(), scan.items, "nila", **QUICK)
    assert (reply.error is not None) == fails
    assert fails or len(reply.images) == 2
    for value in present:
        for word in re.findall(r"\w{5,}", value):
            assert word.encode() not in reply.received


@pytest.mark.slow
@pytest.mark.row("F2.34")
def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(simulated, converse):
    scan = simulated(noise_std=0.05)
    pixels = [
        [image.data.tobytes() for image in converse(scan, target="nila", seed=seed, **QUICK).images]
        for seed in (3, 3, 4)
    ]
    assert pixels[0] == pixels[1]
    assert pixels[0][0] == pixels[2][0]
    assert pixels[0][1] != pixels[2][1]


@pytest.mark.row("F2.34")
def test_the_order_of_the_lines_does_not_matter(simulated, converse):
    scan = simulated(n_slices=2, acceleration=2)
    expected = {image.slice: image.data for image in converse(scan).images}
    lines = scan.imaging
    for line in lines:
        line.clear_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    order = np.random.default_rng(5).permutation(len(lines))
    reply = converse(scan, scan.noise + [lines[number] for number in order])
    assert reply.error is None
    assert len(reply.images) == 2
    for image in reply.images:
        np.testing.assert_allclose(image.data, expected[image.slice], rtol=1e-3, atol=1e-3 * image.data.max())
