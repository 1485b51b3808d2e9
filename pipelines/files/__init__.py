"""Reading and writing files: raw data, headers and images; output files are never left half-written.

raw         reads header, lines and waveforms of an ISMRMRD raw file
header      checks and completes the XML header
header_xml  parses the XML header
heads       converts heads of lines of any layout
samples     converts samples of lines of any type
hdf5        opens HDF5 files from anywhere, and writes them on disks that may be full
sizes       says how large what is read may be
toml        reads TOML files of settings
pictures    reads PNG pictures and npy files
table       reads blocks and fields of HDF5 tables
images      writes images as an ISMRMRD file and as pictures
roles       knows which images belong to one slice
outlined    outlines what nothing supports
atomic      writes files that appear only when they are complete
labels      writes words on pictures
reserved    is the file below HDF5, whose writes do not fail
disk        knows what a full or broken disk looks like
interrupts  keeps stop signals from breaking files
"""
