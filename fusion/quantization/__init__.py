"""Numbers of 8 and 4 bits in place of floats: how they are rounded, kept, multiplied and learned for."""
