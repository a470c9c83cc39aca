"""What one training hands on to another."""
