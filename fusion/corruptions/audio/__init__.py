"""Damage to sounds, in five severities; everything gives a pair (waveform, rate) of its length and rate."""
