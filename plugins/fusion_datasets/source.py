"""The source `datasets`: rows of local files, or of a data set of the Hugging Face hub."""

from typing import Annotated, Any

from pydantic import Field

from fusion import DataError, Source, Stream
from fusion_datasets.columns import parse
from fusion_datasets.hub import Options
from fusion_datasets.opening import open_split
from fusion_datasets.parts import open_stream
from fusion_datasets.place import Format, find
from fusion_datasets.rows import Rows, needed
from fusion_datasets.selection import read_split
from fusion_datasets.streaming import RowStream


def open_rows(
    *,
    data: str,
    format: Format = "auto",
    config: str | None = None,
    revision: str | None = None,
    split: str = "train",
    columns: dict[str, str | dict[str, Any]] | None = None,
    where: dict[str, Any] | None = None,
    limit: Annotated[int | None, Field(ge=1)] = None,
    streaming: bool = False,
) -> Source | Stream:
    """Open rows of files, of a folder, or of a data set of the Hugging Face hub.

    `data` is a file, a glob, a folder or the id of a data set; `~` and variables such as `$FUSION_DATA` are
    filled in. `format` is told by what is there:

    - parquet, csv (and tsv), json (lines, or a list), arrow (files, or a folder of `save_to_disk`)
    - images, sounds: a folder of such files, the row key being `image` or `audio`; `label` is the class whose
      folder a file lies in. A table `metadata.csv` (.jsonl, .parquet) in it names them in `file_name`.
    - webdataset: tar shards, whose media are read where they are
    - npz: arrays, rows being the first axis, held in memory
    - hub: `config` and `revision` choose; give the revision (a commit), or the rows may change

    `split` is a split, or a part of one, such as `train[:80%]`. In a folder, splits are told by names
    (train, validation, test); a single file or a glob is `train`.

    `columns` names the column of each row key, such as `{image: photo, text: caption}`; others are not read.
    The fields of a nested column are `column.field`. Instead of a column a mapping can stand:

    - `{column: class, classes: [cat, dog]}`: words, or ids that have names, become ids of these classes, so
      that they are equal in all sources; a list becomes a vector of 0 and 1
    - `{column: digit, names: [zero, one]}`: ids become words; `names: true` takes those of the data set
    - `{column: wave, rate: 8000}`: a list of numbers becomes sound, (waveform, rate in Hz)
    - `{column: file, folder: media}`: words become files, relative to the folder of the data
    - `{columns: [age, port]}`: several columns become a mapping, a row of a table, without missing cells

    Words of the keys `image`, `audio` and `video` are files in any case; those of other keys are text without
    `folder`. A path out of its folder, a URL and an unknown class are errors of their row. Media are handed
    on as bytes or as a path, never decoded; a list of texts or media as `fusion.Choices`. A missing cell, NaN
    and an empty list are absent.

    `where` keeps rows by what a column holds: `{speaker: [theo, nicolas], fold: {not: 3}}`. `limit` keeps the
    first rows. `streaming` reads parquet, json, webdataset or hub from one end to the other, in an order that
    is only roughly shuffled, without converting it first: to train on what does not fit the disk.

    Tables are converted once to Arrow in the cache of `datasets` (HF_DATASETS_CACHE), and memory-mapped.
    Raises DataError for everything that does not fit.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; allowed: 1 or more, or leave it out for all rows")
    chosen = None if columns is None else parse(columns)
    part = read_split(split)
    place = find(data, format)
    hub_options = Options(config, revision)
    if place.format != "hub" and hub_options != (None, None):
        raise DataError(
            f"config and revision are for a data set of the hub, and {place.given!r} is {place.format}"
        )
    if streaming:
        if part.start or part.stop:
            raise DataError(f"split is {split!r}; of a stream no part can be taken, so give {part.name!r}")
        return RowStream(*open_stream(place, part.name, hub_options), chosen, where or {}, limit)
    wanted = None if chosen is None else needed(chosen, where or {})
    return Rows(open_split(place, part.name, wanted, hub_options), chosen, part, where or {}, limit)
