"""Making weights: images in, settings, checkpoints; `pipelines.train` puts them together."""
