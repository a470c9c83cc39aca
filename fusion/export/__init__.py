"""A run as graphs that need no fusion: torch.export and ONNX."""
