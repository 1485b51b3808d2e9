"""Parts of a simulated scan; `pipelines.simulate` puts them together."""
