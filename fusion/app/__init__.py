"""A page for one run, in which people try it: samples in, answers and what they rest on out."""
