import numpy as np
import pytest

from nilatron import __version__

pydicom = pytest.importorskip("pydicom")

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def test_class_modality_and_maker(image, datasets):
    (data,) = datasets(image())
    assert data.SOPClassUID == data.file_meta.MediaStorageSOPClassUID == MR_IMAGE
    assert data.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
    assert data.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (data.Modality, data.Manufacturer, data.SoftwareVersions) == ("MR", "Nilatron", __version__)
    assert (data.BitsAllocated, data.PixelRepresentation, data.RescaleIntercept) == (16, 0, 0)


@pytest.mark.parametrize(
    ("series", "image_type", "kind"),
    [(1, 1, ["OTHER"]), (101, 1, ["OTHER", "UNCERTAINTY"]), (3001, 2, ["PHASE MAP"]), (1001, 3, ["OTHER"])],
)
def test_what_the_pixels_are(image, datasets, series, image_type, kind):
    source = image(series=101 if series == 101 else 1)
    source.image_series_index, source.image_type = series, image_type
    assert datasets(source)[0].ImageType[2:] == kind


@pytest.mark.parametrize(("n_z", "kind"), [(1, "2D"), (4, "3D")])
def test_slices_and_volumes(image, datasets, n_z, kind):
    assert {data.MRAcquisitionType for data in datasets(image(shape=(n_z, 20, 30)))} == {kind}


@pytest.mark.parametrize("series", [1, 101])
@pytest.mark.parametrize("as_integers", [False, True])
def test_pixels_are_in_snr_units_whatever_the_image_holds(image, datasets, series, as_integers):
    wanted = np.linspace(0, 50, 600, dtype=np.float32).reshape(1, 20, 30)
    pixels = np.rint(wanted * 100).astype(np.int16) if as_integers else wanted
    step = 0.01 if as_integers else 0.0
    data = datasets(image(pixels=pixels, series=series, meta={"RescaleSlope": "0.01"} if as_integers else {}))[0]
    found = data.pixel_array * float(data.RescaleSlope)
    assert np.abs(found - wanted[0]).max() <= (float(data.RescaleSlope) + step) / 2 + 1e-5


def test_complex_images_give_their_magnitude(image, datasets):
    (data,) = datasets(image(pixels=np.full((1, 20, 30), 3 - 4j, np.complex64)))
    assert data.pixel_array * float(data.RescaleSlope) == pytest.approx(np.full((20, 30), 5.0), abs=1e-3)
