"""Files of a scan: raw data and headers in, images and DICOM out; nothing is ever half-written.

raw      RawFile: header, lines and waveforms of an ISMRMRD file
header   the XML header, parsed and checked
images   images of a run as an ISMRMRD file and as pictures
dicom    the same as DICOM
atomic   files that appear whole or not at all
"""
