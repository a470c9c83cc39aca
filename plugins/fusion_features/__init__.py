"""Features that were computed before, as a modality of any name, and rows to try them on."""

from fusion import Component, functions_in, hookimpl


@hookimpl
def fusion_encoders() -> list[Component]:
    return [
        Component(
            "features",
            "fusion_features.encoder:Features",
            "features",
            tiny={"dim": 16, "layers": 1, "heads": 2},
        )
    ]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("tones", "fusion_features.tones:Tones", tiny={"rows": 32})]


@hookimpl
def fusion_corruptions() -> list[Component]:
    return functions_in("fusion_features.damage", "features")
