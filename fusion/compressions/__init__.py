"""What makes trained models smaller."""
