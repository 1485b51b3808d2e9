"""Noise: slices are whitened with the noise that is known when they are complete, and checked against their own data.

whitening  the two gadgets of a scan, in front of the accumulation of lines and behind it
scan       the noise lines of a stream
header     what a header says about noise: measurements, bandwidth, coil labels
channels   channels of a noise scan, chosen and put in order by coil label
dwell      dwell times of the lines of an image
evidence   whether the noise of a slice is what a noise scan says
slices     one slice: whitened, measured, scaled
"""

from nilatron.gadgets.noise.slices import GADGETRON_SIGMA
from nilatron.gadgets.noise.whitening import NoiseSettings, Whitening

__all__ = ["GADGETRON_SIGMA", "NoiseSettings", "Whitening"]
