"""Damage to features, in five severities."""
