"""Diffusion samplers, one a file."""
