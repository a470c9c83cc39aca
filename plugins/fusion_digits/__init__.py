"""Handwritten digits, spoken digits and words: a real data source that needs no network."""

from fusion import Component, hookimpl


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("digits", "fusion_digits.source:Digits", tiny={"limit": 64})]
