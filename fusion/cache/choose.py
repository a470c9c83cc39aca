"""Which modalities the cache is for: those whose encoder gives the same for a sample at every step."""

from collections.abc import Mapping

from fusion.batch import Source, Stream
from fusion.errors import Problem, RecipeError
from fusion.model import Model
from fusion.recipe.schema import Recipe

DTYPES = {True: "float32", "fp16": "float16"}


def cacheable(recipe: Recipe, model: Model, sources: Mapping[str, Source | Stream]) -> dict[str, str]:
    """Return the modalities of which features are kept, and in which type of numbers.

    Raises RecipeError, saying why, for one of which the recipe wants it and it cannot be.
    """
    problems, chosen = [], {}
    for name, pick in recipe.encoders.items():
        if pick.cache is False:
            continue
        reason = _reason(name, recipe, model, sources)
        if reason is None:
            chosen[name] = DTYPES[pick.cache or True]
        elif pick.cache is not None:
            problems.append(Problem(f"encoders.{name}.cache", f"{reason}, or leave out `cache`"))
    if problems:
        raise RecipeError(problems)
    return chosen


def _reason(name: str, recipe: Recipe, model: Model, sources: Mapping[str, Source | Stream]) -> str | None:
    # a tuning has said of every parameter whether it learns at any time
    if any(parameter.requires_grad for parameter in model.encoders[name].parameters()):
        mode = recipe.encoders[name].tune.mode
        return f"the encoder learns (tune: {{mode: {mode}}}), so its features change; freeze it"
    adversarial = recipe.train.adversarial
    if adversarial is not None and name in adversarial.radius:
        return f"train.adversarial moves the samples of {name}, so no features come again; take it out there"
    if recipe.augment.get(name):
        return f"augment.{name} varies the samples, so no features come again; take it out"
    streams = [source for source, rows in sources.items() if isinstance(rows, Stream)]
    if streams:
        return f"sources.{streams[0]} is a stream, whose rows have no place to find features by; give tables"
    return None
