"""Rows of a table as a modality: numbers and categories, some of them missing, and rows to try it on."""

from fusion import Component, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    small = {"dim": 16, "layers": 1, "heads": 2}
    return [Component("ft-transformer", "fusion_tabular.encoder:FTTransformer", "table", tiny=small)]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("flowers", "fusion_tabular.flowers:Flowers", tiny={"rows": 48})]
