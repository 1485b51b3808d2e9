"""One plan of a scan: which image a line belongs to, when an image is whole, and what came short.

upcoming   what a table of all line heads says is still to come (files)
progress   what has come of one image, and what of it is missing
scan       ScanPlan: weighs flags, limits, counters and what is known of the lines to come
together   lines of several images under the counters of one
contradictions   what header and heads say against each other
modes      whether calibration lines are those of another scan
centre     where the centre of k-space is: the header against the strongest line
"""
