"""Replaying raw files through a chain, in this process or by a server.

settings  says what to replay and to where, and what came of it
scan      makes the images of a raw file
exports   writes pictures, DICOM files and a page beside the image file
run       writes the image file and its exports
"""
