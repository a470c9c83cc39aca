"""What there is to say before the first step of a training."""

from collections.abc import Sequence
from typing import cast

from fusion.data.order import Order
from fusion.encoder import Encoder
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.training.anchors import Anchors
from fusion.training.progress import Progress
from fusion.transfer.initial import Start
from fusion.tuning import idle


def give_notice(
    shown: Progress,
    recipe: Recipe,
    model: Model,
    start: Start | None,
    anchors: Anchors,
    order: Order,
    fitted: str | None,
    doubts: Sequence[str],
) -> None:
    """Say what was taken from earlier runs, what was found out, and warn of what may not be meant."""
    if start is not None:
        shown.say(str(start))
        for part in (part for part in start.mismatched if part.startswith("encoders.")):
            shown.warn(f"init: nothing of {part} was taken, what there is does not fit")
        for doubt in start.doubts:
            shown.warn(f"init: {doubt}")
    if recipe.prior is not None:
        shown.say(f"prior {anchors}")
    for name, tuning in model.tunings.items():
        if idle(tuning, cast(Encoder, model.encoders[name]), recipe.train.steps):
            shown.warn(f"encoders.{name}.tune: nothing of it learns within {recipe.train.steps} steps")
    if fitted is not None:
        shown.say(fitted)
    for doubt in doubts:
        shown.warn(doubt)
    for name in (name for name, rows in order.sizes.items() if rows is None):
        shown.say(
            f"sources.{name} is a stream: its order is approximate, and depends on the processes and their "
            "workers; each has a part of it, and goes through a shorter one more often"
        )
