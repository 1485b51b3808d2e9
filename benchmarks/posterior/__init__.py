"""Posterior samplers behind one signature, figures of their samples, and simulated scans of all classes."""
