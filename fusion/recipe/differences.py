"""Where two recipes differ, by dotted paths."""

from typing import Any

from fusion.recipe.schema import Recipe


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the dotted paths at which two recipes differ, sorted, with both values; None where it has none.

    What only `fusion study` reads is left out, and a batch that was found, or is to be.
    """
    first, second = (flat(recipe.model_dump(mode="json", exclude={"study"})) for recipe in (one, other))
    pairs = {key: (first.get(key), second.get(key)) for key in sorted(first.keys() | second.keys())}
    return {
        key: pair
        for key, pair in pairs.items()
        if pair[0] != pair[1] and not (key == "train.batch" and "auto" in pair)
    }


def flat(data: Any, path: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted paths."""
    if not isinstance(data, dict) or not data:
        return {path: data}
    return {
        key: leaf
        for name, value in data.items()
        for key, leaf in flat(value, f"{path}.{name}".strip(".")).items()
    }
