import pytest

from nilatron.gadgets.items import ScanError
from nilatron.gadgets.noise.channels import matched_channels


@pytest.mark.parametrize(
    ("noise", "image", "channels"),
    [
        ("ABCD", "ABCD", [0, 1, 2, 3]),
        ("ABCD", "CADB", [2, 0, 3, 1]),
        ("ABCD", "DB", [3, 1]),
        ("AAB", "AAB", [0, 1, 2]),  # the same on both sides, whatever they are
    ],
)
def test_channels_are_found_by_label(noise, image, channels):
    assert matched_channels(tuple(noise), len(noise), tuple(image), len(image)) == channels


@pytest.mark.parametrize(("noise", "image"), [(None, None), (("A", "B"), None), (None, ("A", "B"))])
def test_without_labels_on_both_sides_numbers_have_to_do(noise, image):
    assert matched_channels(noise, 2, image, 2) == [0, 1]
    with pytest.raises(ScanError, match="the noise scan has 2 channels and the image lines 3"):
        matched_channels(noise, 2, image, 3)


@pytest.mark.parametrize(
    ("noise", "image", "message"),
    [
        ("ABC", "ABX", "no channels for the coils 'X'; it has 3, 'A', 'B', 'C', and the image lines 3"),
        ("AB", "ABCD", "no channels for the coils 'C', 'D'"),
        ("AAB", "AB", "name more than one channel.*: 'A'"),
        ("AB", "AA", "name more than one channel.*: 'A'"),
    ],
)
def test_labels_that_cannot_be_matched_are_named(noise, image, message):
    with pytest.raises(ScanError, match=message):
        matched_channels(tuple(noise), len(noise), tuple(image), len(image))
