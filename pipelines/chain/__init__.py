"""Chains that are defined by XML.

find      by shipped name or path
xml       parsed into readers, gadgets, nodes and writers
grammar   would Gadgetron's own parser take it?
host      run inside this process, with equivalents of the stock gadgets
"""
