"""HDF5 files from anywhere, and onto disks that may be full.

reader   opens files
lengths  checks the sizes that packed tables state before HDF5 believes them
heaps    checks the heaps of texts and rows
rows     reads rows of tables
writer   writes files
"""
