"""The modality `$name`: records of names, nothing heavy imported."""

from fusion import Component, hookimpl

FUSION_API = 1


@hookimpl
def fusion_encoders() -> list[Component]:
    build = "$package.encoder:${camel}Net"
    return [Component("$kebab-net", build, "$name", tiny={"dim": 16})]


@hookimpl
def fusion_sources() -> list[Component]:
    build = "$package.source:${camel}Rows"
    return [Component("$kebab-rows", build, tiny={"rows": 24})]
