"""What an answer rests on: modalities, parts of an input, rows of the training."""
