"""Damage to samples: a folder for each modality, a file for each kind, with the function of its name."""
