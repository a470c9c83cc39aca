"""The ledger: every row that could not be read, once, with its reason."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fusion.data.collate import BadRow
from fusion.errors import DataError


class Ledger:
    """Bad rows of a run, appended to a file of JSON lines; the run stops when there are too many."""

    def __init__(self, path: Path, max_bad: int) -> None:
        self.path, self.max_bad = path, max_bad
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        self.rows = dict.fromkeys(BadRow(**json.loads(line)) for line in lines)

    def add(self, found: Iterable[BadRow]) -> None:
        """Note rows, those known already only once. Raises DataError above `max_bad` different rows."""
        new = [row for row in dict.fromkeys(found) if row not in self.rows]
        self.rows.update(dict.fromkeys(new))
        if new:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in new)
        if len(self.rows) > self.max_bad:
            (source, count), *_ = Counter(row.source for row in self.rows).most_common(1)
            worst = next(row for row in reversed(self.rows) if row.source == source)
            raise DataError(
                f"{len(self.rows)} rows cannot be read, train.max_bad allows {self.max_bad}; the worst source is "
                f"{source!r} with {count}, such as row {worst.row}: {worst.reason}; all are in {self.path}"
            )
