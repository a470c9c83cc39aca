"""An index of a source's vectors, kept in the run that made them, and search in it."""

from fusion.search.ask import find
from fusion.search.index import Hit, Index

__all__ = ["Hit", "Index", "find"]
