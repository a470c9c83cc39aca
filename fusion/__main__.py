"""python -m fusion, which is how torchrun starts it."""

from fusion.cli import main

main()
