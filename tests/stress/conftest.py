"""The model and the rows that flags are looked for in."""

from tests.threat.conftest import model, rows

__all__ = ["model", "rows"]
