"""Parts of a simulated scan; `simulation.simulate` puts them together."""
