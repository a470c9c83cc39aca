"""Losses over embeddings and fused vectors, one file each."""
