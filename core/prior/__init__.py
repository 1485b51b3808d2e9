"""The denoiser: network, preconditioning, training ingredients and weights."""
