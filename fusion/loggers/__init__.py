"""Loggers: trackers that follow a training."""
