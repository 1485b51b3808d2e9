"""Mathematics: arrays in, arrays out. Never sockets, ISMRMRD, XML or argument parsing."""
