"""Ways to damage pictures, sounds and text, to see what a model still does with them."""
