"""Programs that run a reconstruction chain, and programs that train and convert the weights of its prior."""
