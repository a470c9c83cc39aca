"""Smaller models of trained ones: compressed, trained again, measured before and after."""
