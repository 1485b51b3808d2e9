"""Many lines of one size in memory that they share."""
