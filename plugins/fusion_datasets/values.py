"""Read tables of values that commas, semicolons or tabs separate."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv, types

from fusion import DataError

MAX_COLUMNS = 10_000
HEADER = 2**16  # bytes of the first line that are looked at


def read_csv(paths: Sequence[str]) -> pa.Table:
    """Return the rows of the files as one table; only an empty cell is missing.

    pandas, with which `datasets` reads such files, takes words such as NA for missing, and makes floats of
    ids where one is missing.
    """
    return pa.concat_tables([_read(path) for path in paths], promote_options="permissive")


def _read(path: str) -> pa.Table:
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
        convert_options=csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
    )
    if table.num_columns > MAX_COLUMNS:
        raise DataError(f"{path!r} has {table.num_columns:,} columns; at most {MAX_COLUMNS:,} are read")
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if types.is_binary(kind):  # what words that are not UTF-8 are taken for
            raise _not_unicode(f"column {name!r}")
    return table


def _delimiter(path: str) -> str:
    """Return a tab for .tsv, a semicolon where the header has some and no comma, as spreadsheets write it."""
    with open(path, "rb") as file:
        header = file.readline(HEADER)
    if header.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise _not_unicode("the file")
    if path.lower().endswith(".tsv"):
        return "\t"
    return ";" if b";" in header and b"," not in header else ","


def _not_unicode(what: str) -> DataError:
    return DataError(f"{what} is not written in UTF-8; save the table again, with the encoding UTF-8")
