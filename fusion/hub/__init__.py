"""Runs on the Hugging Face hub: pushed with a card, and fetched by name and revision."""
