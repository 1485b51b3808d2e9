"""The learned prior: network, preconditioning, weights, and the parts of its training."""
