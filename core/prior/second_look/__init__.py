"""A correction of the finished image by what it was made from."""
