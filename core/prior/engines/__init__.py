"""Engines: what computes the network's part of D, and in which precision."""
