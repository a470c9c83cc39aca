"""What this project adds to fusion: records of names, nothing heavy imported."""

from fusion import Component, hookimpl


@hookimpl
def fusion_fusers() -> list[Component]:
    return [Component("$kebab-max", "$package.fuser:Max")]
