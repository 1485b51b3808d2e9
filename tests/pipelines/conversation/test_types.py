import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.conversation.types import MAX_ERROR_CHARACTERS, is_noise_or_waveform, sendable


@pytest.mark.parametrize(
    ("text", "sent"),
    [("plain", "plain"), ("Zoë", "Zoë"), ("\ud800x", "?x"), ("a" * 50_000, "a" * MAX_ERROR_CHARACTERS)],
)
def test_texts_that_can_be_sent(text, sent):
    assert sendable(text) == sent


def test_no_image_is_expected_of_noise_and_waveforms():
    line = ismrmrd.Acquisition.from_array(np.zeros((2, 8), np.complex64))
    assert not is_noise_or_waveform(line)
    line.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    assert is_noise_or_waveform(line)
    assert is_noise_or_waveform(ismrmrd.Waveform())
    assert not is_noise_or_waveform(object())
