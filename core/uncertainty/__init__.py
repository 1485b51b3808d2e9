"""How sure an image is: what calibration promises, and whether the prior knows such objects."""
