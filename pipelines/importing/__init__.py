"""K-space of public data sets and of other programs as ISMRMRD raw files.

kspace    k-space on a grid, slice by slice, and what is known of it
hdf5      files in the layout of fastMRI and M4Raw
arrays    BART's .cfl and NumPy's .npy, whose axes are named
sampling  which lines of a grid were acquired
header    the header: that of the file, or one of what the user says
lines     the lines
run       all of it
"""
