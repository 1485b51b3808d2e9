"""Files of a scan: raw data and headers in, images and DICOM out; nothing is ever half-written.

raw         RawFile: header, lines and waveforms of an ISMRMRD file
header      the XML header, checked and completed
header_xml  the XML header, parsed
heads       heads of lines in any layout
samples     samples of lines in any type
table       blocks and fields of HDF5 tables
images      images of a run as an ISMRMRD file and as pictures
dicom       the same as DICOM
atomic      files that appear whole or not at all
"""
