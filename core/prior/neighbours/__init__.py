"""What slices are told of those beside them, and the head that makes use of it."""
