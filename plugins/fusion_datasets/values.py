"""Read tables of comma- or tab-separated values."""

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import csv

from fusion import DataError

MAX_COLUMNS = 10_000


def read_csv(paths: Sequence[str]) -> pa.Table:
    """Return the rows of the files as one table; only an empty cell is missing.

    pandas, with which `datasets` reads such files, takes words such as NA for missing, and makes floats of
    ids where one is missing.
    """
    return pa.concat_tables([_read(path) for path in paths], promote_options="permissive")


def _read(path: str) -> pa.Table:
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(
            delimiter="\t" if path.lower().endswith(".tsv") else ",", newlines_in_values=True
        ),
        convert_options=csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
    )
    if table.num_columns > MAX_COLUMNS:
        raise DataError(f"{path!r} has {table.num_columns:,} columns; at most {MAX_COLUMNS:,} are read")
    return table
