"""Echo-planar readouts: samples on the gradient's ramps, and the phase between lines read in the two directions."""
