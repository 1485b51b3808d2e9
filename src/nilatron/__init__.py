"""Nilatron: streaming MRI reconstruction with diffusion priors, as Gadgetron gadgets."""

__version__ = "0.1.0"
