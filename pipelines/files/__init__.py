"""Reading and writing files: raw data, headers, images and DICOM; output files are never left half-written.

raw      reads header, lines and waveforms of an ISMRMRD raw file
header   parses and checks the XML header
images   writes images as an ISMRMRD file and as pictures
dicom    writes images as DICOM files
atomic   writes files that appear only when they are complete
"""
