"""Time series as a modality, of any number of channels, lengths and gaps, and rows to try it on."""

from fusion import Component, functions_in, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    small = {"patch": 8, "stride": 4, "dim": 16, "layers": 1, "heads": 2}
    return [Component("patch-tst", "fusion_timeseries.encoder:PatchTST", "series", tiny=small)]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("hearts", "fusion_timeseries.hearts:Hearts", tiny={"rows": 48})]


@hookimpl
def fusion_augmentations() -> list[Component]:
    module = "fusion_timeseries.augmentations"
    return [
        Component("series-jitter", f"{module}:SeriesJitter"),
        Component("series-scale", f"{module}:SeriesScale"),
        Component("series-crop", f"{module}:SeriesCrop"),
        Component("series-mask", f"{module}:SeriesMask", tiny={"share": 0.5}),
    ]


@hookimpl
def fusion_corruptions() -> list[Component]:
    return functions_in("fusion_timeseries.damage", "series")
