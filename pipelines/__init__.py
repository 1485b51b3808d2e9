"""Ways to run a chain, and to make its weights."""
