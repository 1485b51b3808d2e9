"""Diffusion samplers, one in each file."""
