"""Nilatron from Python: what `import nilatron` offers, as functions of arrays and files.

reconstruct  k-space as an array to images, by the gadgets of a chain
replay       a raw file to images in memory
raw          a raw file to k-space, counts, calibration and noise, one slice at a time
prior        a prior as a denoiser, and the samplers with it
arrays       arrays as a user has them: checked, and returned in the library in which they came
properties   the properties of a chain as Python values
"""
