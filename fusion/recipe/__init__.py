"""The recipe: a whole experiment as data, from text to what is wrong with it."""
