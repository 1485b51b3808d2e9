"""Echo-planar scans: what the header states about their readouts, and lines that come as other lines do.

description   the readout gradient of an encoding, from its trajectoryDescription
readout       lines that were sampled on ramps, or backwards, as forward lines on the encoded grid
correct       navigators, and lines read backwards with the phase of those read forwards
"""
