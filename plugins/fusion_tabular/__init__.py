"""Rows of a table as a modality: numbers and categories, some of them missing, and rows to try it on."""

from fusion import Component, functions_in, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    small = {"dim": 16, "layers": 1, "heads": 2}
    return [Component("ft-transformer", "fusion_tabular.encoder:FTTransformer", "table", tiny=small)]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("flowers", "fusion_tabular.flowers:Flowers", tiny={"rows": 48})]


@hookimpl
def fusion_augmentations() -> list[Component]:
    module = "fusion_tabular.augmentations"
    return [
        Component("table-swap", f"{module}:TableSwap", tiny={"share": 0.5}),
        Component("table-mask", f"{module}:TableMask", tiny={"strength": 0.5}),
    ]


@hookimpl
def fusion_corruptions() -> list[Component]:
    return functions_in("fusion_tabular.damage", "table")
