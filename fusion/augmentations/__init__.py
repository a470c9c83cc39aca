"""Ways to vary pictures, sounds and text in training, and to mix them with those of other rows."""
