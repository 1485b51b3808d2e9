"""Reconstruction chains that are defined by XML.

find      finds a chain by name or path
xml       parses a chain into readers, gadgets, nodes and writers
located   parses XML into elements that know their lines
grammar   checks whether Gadgetron's own parser would accept a chain
checks    finds all problems of a chain for a Gadgetron server, also those that Gadgetron does not see
series    counts the images that a chain makes of each slice
host      runs a chain inside this process, with equivalents of the stock gadgets
"""
