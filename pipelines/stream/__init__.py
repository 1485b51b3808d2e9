"""The protocol on pipes: MRD v1 as Gadgetron's `--from_stream`, Tyger and BART speak it, and MRD v2.

formats     which format the first bytes are
v1, v2      both ends of a stream of each: header and items in, header and items out
run         one scan from a stream to a stream: reconstructed, or only converted
noise       noise of a file in front of the scan's items; noise of the scan to a file
recorded    streams and noise covariances in files, as scans that can be replayed
"""
