"""Damage to films, in five severities: to pictures, to all of them, and to which are there."""
