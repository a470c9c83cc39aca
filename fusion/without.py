"""Rows of a source without some of their keys: what is there, but is not to be known."""

from collections.abc import Collection, Iterator

from fusion.batch import Row, Source, Stream


def without(source: Source | Stream, keys: Collection[str]) -> Source | Stream:
    """Return a source whose rows lack these keys, modalities or targets; the source itself for none."""
    if not keys:
        return source
    return _Passing(source, keys) if isinstance(source, Stream) else _Rows(source, keys)


class _Rows:
    def __init__(self, source: Source, keys: Collection[str]) -> None:
        self.source, self.keys = source, frozenset(keys)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        return _less(self.source[index], self.keys)


class _Passing(Stream):
    def __init__(self, source: Stream, keys: Collection[str]) -> None:
        self.source, self.keys = source, frozenset(keys)

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Row]:
        for row in self.source.rows(part, parts, seed):
            yield _less(row, self.keys)


def _less(row: Row, keys: frozenset[str]) -> Row:
    return {key: value for key, value in row.items() if key not in keys}
