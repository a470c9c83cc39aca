"""How encoders learn: one file each."""
