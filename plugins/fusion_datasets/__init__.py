"""Rows from whatever the `datasets` library loads, and from folders of media, tar shards and arrays."""

from pathlib import Path

from fusion import Component, hookimpl

SAMPLE = Path(__file__).parent / "sample.jsonl"


@hookimpl
def fusion_sources() -> list[Component]:
    tiny = {"data": str(SAMPLE), "limit": 64}
    return [Component("datasets", "fusion_datasets.source:open_rows", tiny=tiny)]
