"""Damage to series, in five severities: the faults that sensors have (Ni et al. 2009)."""
