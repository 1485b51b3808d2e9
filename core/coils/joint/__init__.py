"""Coil maps and image together, from data whose calibration is thin or absent."""
