"""Versions of a recipe, each trained with several seeds: planned, trained, compared and reported."""
