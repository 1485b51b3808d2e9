"""Making weights: images in, settings, checkpoints; `training.train` puts them together."""
