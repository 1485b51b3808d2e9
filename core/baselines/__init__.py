"""Reconstructions without a learned prior."""
