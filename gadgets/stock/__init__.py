"""Our equivalents of the stock gadgets; `registry` knows them by class name. Nothing is imported here: `types` stays light."""
