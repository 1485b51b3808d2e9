"""Messages from their bytes, by generators that name the memory they want filled."""
