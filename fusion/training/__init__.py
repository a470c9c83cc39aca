"""The training loop and what it stands on: launch, order of ranks, optimiser, checkpoints, progress."""
