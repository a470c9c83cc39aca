"""Estimators of how well a candidate will transfer: one file each."""
