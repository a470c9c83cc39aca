"""The threat: what of a batch an attack may change, by how much, and what it is after."""
