"""The core's mergings, one per file."""
