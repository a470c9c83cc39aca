"""Damage to rows of tables, in five severities: errors that data have (Jenga, Schelter et al. 2021)."""
