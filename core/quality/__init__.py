"""Figures that tell a wrong image from a right one without knowing the truth."""
