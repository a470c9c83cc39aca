"""Damage to texts, in five severities; nothing leaves one empty."""
