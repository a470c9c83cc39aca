"""What a model can do: retrieval between modalities, zero-shot classification, every subset of modalities."""
