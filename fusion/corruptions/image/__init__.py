"""Damage to pictures, in five severities; everything gives RGB in the size of the picture."""
