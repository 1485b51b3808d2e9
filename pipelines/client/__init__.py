"""Client that has a running server reconstruct a scan.

request    address of the server, the requested chain, the expected number of images
exchange   the connection: sends the scan and receives the images, with time limits
pacing     sends lines as fast as the scanner acquired them
images     images of a raw file from a server, for replay
"""
