"""What weights know about the errors of their images: the head that predicts them, its training, and all that goes with it."""
