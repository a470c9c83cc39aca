"""The ledger: every row that could not be read, once, with its reason."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from fusion.data import lines
from fusion.data.collate import BadRow
from fusion.errors import DataError

TOLD = 3  # kinds of reasons


class Ledger:
    """Bad rows of a run, kept in a file of JSON lines; the run stops when there are too many.

    Every rank keeps one and adds the bad rows of all, so that all of them stop together; one `writes`.
    """

    def __init__(self, path: Path, max_bad: int, writes: bool = True) -> None:
        self.path, self.max_bad, self.writes = path, max_bad, writes
        self.rows: dict[tuple[str, int], BadRow] = {}
        self._note(BadRow(**line) for line in lines.read(path))

    def add(self, found: Iterable[BadRow]) -> None:
        """Note rows, each only once. Raises DataError above `max_bad` different rows."""
        new = self._note(found)
        if new and self.writes:
            lines.append(self.path, self._described(new))
        if len(self.rows) > self.max_bad:
            bad = list(self.rows.values())
            [(source, count)] = Counter(row.source for row in bad).most_common(1)
            worst = next(row for row in reversed(bad) if row.source == source)
            raise DataError(
                f"{len(bad)} rows cannot be read, train.max_bad allows {self.max_bad}; the worst source is "
                f"{source!r} with {count}, such as row {worst.row}: {worst.reason}; all are in {self.path}"
            )

    def rewind(self, count: int) -> None:
        """Forget all rows but the first ones: those of an evaluation, and of a line that a kill has torn."""
        self.rows = dict(islice(self.rows.items(), count))
        if self.writes and self.path.is_file():
            lines.rewrite(self.path, self._described(self.rows.values()))

    def summary(self) -> str:
        """Tell the most frequent kinds of reasons, each with how many rows it has and one of them."""
        kinds: dict[str, list[BadRow]] = {}
        for row in self.rows.values():
            kinds.setdefault(row.reason.partition(" ")[0], []).append(row)  # "image:", or a target's name
        most = sorted(kinds.values(), key=len, reverse=True)[:TOLD]
        return "; ".join(
            f"{len(rows)} such as row {rows[0].row} of {rows[0].source!r} ({rows[0].reason})" for rows in most
        )

    def _note(self, found: Iterable[BadRow]) -> list[BadRow]:
        """Remember rows that are not known, whatever reason they are bad for now, and return them."""
        new = []
        for row in found:
            if (row.source, row.row) not in self.rows:
                self.rows[row.source, row.row] = row
                new.append(row)
        return new

    @staticmethod
    def _described(rows: Iterable[BadRow]) -> Iterable[dict[str, object]]:
        return (row._asdict() for row in rows)
