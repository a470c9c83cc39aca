"""Attacks: perturbations of the input that harm a model, one function each."""
