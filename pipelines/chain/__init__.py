"""Reconstruction chains that are defined by XML.

find      finds a chain by name or path
xml       parses a chain into readers, gadgets, nodes and writers
grammar   checks whether Gadgetron's own parser would accept a chain
host      runs a chain inside this process, with equivalents of the stock gadgets
"""
