"""Take whole channels and heads out of encoders: smaller matrices, fewer parameters, less to compute."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from fusion.batch import Batch
from fusion.compression import Compression
from fusion.compressions.computed import why_nothing
from fusion.compressions.cut import (
    Family,
    Run,
    copied,
    cut,
    difference,
    families,
    proven,
    put,
    scale,
    score,
    with_zeros,
)
from fusion.compressions.follow import Followed, follow
from fusion.encoder import Encoder
from fusion.model import Model

HELD = "prune_structured"
"""Where a model holds the records of what was taken from it before a training, until they are asked for."""


class Found(NamedTuple):
    """What can be taken from an encoder."""

    followed: Followed
    families: list[Family]
    whole: dict[str, str]  # layers that stay as they are, and why
    importance: Tensor  # of each class
    run: Run  # what a module like it gives for the rows that were shown


def least(weights: Sequence[Tensor], sparsity: float) -> tuple[Tensor, ...]:
    """Return which share of all weights, some (c,) each, is least, as (c,) bool each; one of each stays.

    Of equal ones the first are least.
    """
    held = [weight.index_fill(0, weight.argsort(stable=True)[-1], torch.inf) for weight in weights]
    order = torch.cat(held).argsort(stable=True)
    gone = torch.zeros(len(order), dtype=torch.bool)
    gone[order[: min(round(sparsity * len(order)), len(order) - len(weights))]] = True
    return torch.split(gone, [len(weight) for weight in weights])


class PruneStructured(Compression):
    """Takes the share `sparsity` of the channels, or heads, of encoders, the least important: of each layer
    alone (`scope: layer`), or of all layers together (`scope: global`).

    What belongs together is found by following a forward (Fang et al. 2023, DepGraph; here by values), and
    proven: an encoder without one of them has to compute what it does with zeros in its place. What cannot be
    followed or proven stays whole, as do the width of an encoder and names that begin with one of `skip`; it
    is listed. A layer keeps one channel or head in any case. A training before begins without what goes.

    Importance is the sum over the parameters of a channel of their size, `abs` (Li et al. 2017), or `square`,
    or, by `taylor`, that of gradient times weight, squared (Molchanov et al. 2019, equation 8). Of all layers
    together, sizes are compared as shares of the mean of their layer, and `taylor` as it is.
    """

    def __init__(
        self,
        *,
        sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        scope: Literal["layer", "global"] = "layer",
        importance: Literal["abs", "square", "taylor"] = "square",
        skip: list[str] | None = None,
    ) -> None:
        self.sparsity, self.scope, self.importance, self.skip = sparsity, scope, importance, skip or []
        self._found: dict[str, Found] = {}
        self._done = False

    def observe(self, model: Model, batches: Sequence[Batch]) -> None:
        training = model.training
        model.eval()
        for name, part in model.encoders.items():
            inputs = next((batch.inputs[name] for batch in batches if name in batch.inputs), None)
            if inputs is not None:
                self._found[name] = self._find(f"encoders.{name}", cast(Encoder, part), inputs)
        if self.importance == "taylor":
            self._weigh(model, batches)
        model.train(training)

    def apply(self, model: Model) -> dict[str, Any]:
        held: list[dict[str, Any]] = vars(model).setdefault(HELD, [])
        if not held:
            self.prepare(model, 0, 1)
        return held.pop(0)

    @torch.no_grad()
    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step or self._done:
            return
        if not any(found.families for found in self._found.values()):
            looked = ", ".join(self._found) or "none, as no rows were shown"
            raise ValueError(
                f"no channel or head can be taken; encoders that were looked at: {looked}{why_nothing(model)}"
            )
        record: dict[str, Any] = {"shapes": {}, "numbers": {}, "left": {}, "whole": {}}
        gone_of_each = self._gone()
        for name, found in self._found.items():
            encoder, start = cast(Encoder, model.encoders[name]), f"encoders.{name}."
            chosen = [next(gone_of_each) for _ in found.families]
            gone = torch.cat([*chosen, torch.empty(0, dtype=torch.long)])
            expected = with_zeros(encoder, found.followed, gone, found.run)
            for family, classes in zip(found.families, chosen, strict=True):
                left = len(family.classes) - len(classes)
                record["left"][start + family.name] = [left, len(family.classes)]
                values = scale(encoder, family, left)
                record["numbers"] |= {start + path: named for path, named in values.items()}
            shapes = cut(encoder, found.followed, gone)
            if reason := difference(expected, copied(encoder), found.run):
                raise ValueError(f"{start[:-1]} without all that is to go {reason}; name some of it in skip")
            record["shapes"] |= {start + path: list(shape) for path, shape in shapes.items()}
            record["whole"] |= {start + path: why for path, why in found.whole.items()}
        vars(model).setdefault(HELD, []).append(record)
        self._done = True

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        tensors = {}
        own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for path, shape in record["shapes"].items():
            full = tuple(own[path].shape)
            if len(full) != len(shape) or not all(0 < n <= of for n, of in zip(shape, full, strict=True)):
                raise ValueError(f"{path} cannot be {shape}; it is {full}")
            tensors[path] = own[path].new_empty(shape)
        put(model, tensors)
        for path, values in record["numbers"].items():
            held = vars(model.get_submodule(path))
            for name, value in values.items():
                if not (type(held.get(name)) is type(value) is int and 0 < value <= held[name]):
                    raise ValueError(f"{path}.{name} cannot be {value!r}")
                held[name] = value

    def _gone(self) -> Iterator[Tensor]:
        """Yield the classes that go, for each family of each encoder."""
        every = [(family, found.importance) for found in self._found.values() for family in found.families]
        weights = [importance[family.classes] for family, importance in every]
        if self.scope == "layer":
            masks = [mask for weight in weights for mask in least([weight], self.sparsity)]
        elif self.importance == "taylor":
            masks = [*least(weights, self.sparsity)]
        else:
            masks = [*least([weight / weight.mean().clamp(min=1e-30) for weight in weights], self.sparsity)]
        yield from (family.classes[mask] for (family, _), mask in zip(every, masks, strict=True))

    def _find(self, start: str, encoder: Encoder, inputs: Mapping[str, Tensor]) -> Found:
        @torch.no_grad()
        def run(module: nn.Module) -> list[Tensor]:
            pooled, tokens, mask = module(**inputs)
            if tokens is None:
                return [pooled]
            return [pooled, tokens if mask is None else tokens.masked_fill(~mask[..., None], 0)]

        followed = follow(encoder, lambda: [part for part in encoder(**inputs)[:2] if part is not None])
        power = 1 if self.importance == "abs" else 2
        norms = {name: part.detach().abs() ** power for name, part in encoder.named_parameters()}
        importance = score(followed, norms)
        left: list[Family] = []
        whole: dict[str, str] = {}
        for family in families(followed):
            strongest = family.classes[importance[family.classes].argmax()]
            skipped = any(f"{start}.{path}".startswith(tuple(self.skip)) for path in family.paths)
            why = "it is skipped" if skipped else proven(encoder, followed, family, strongest, run)
            if isinstance(why, str):
                whole |= dict.fromkeys(family.layers, why)
            else:
                left.append(why)
        known = whole.keys() | {layer for family in left for layer in family.layers}
        for part in followed.slices:
            if part.layer not in known:
                whole[part.layer] = "its channels are the width of the encoder, or meet what has no channels"
        return Found(followed, left, whole, importance, run)

    def _weigh(self, model: Model, batches: Sequence[Batch]) -> None:
        """Let the importance of each class be that of its gradient; the loss is that of the training."""
        learning = {part: part.requires_grad for part in model.parameters()}
        model.requires_grad_(True)
        total = {name: torch.zeros_like(found.importance) for name, found in self._found.items()}
        for batch in batches:
            with torch.enable_grad():
                gradients = torch.autograd.grad(model(batch).total, list(learning), allow_unused=True)
            reached = dict(zip(learning, gradients, strict=True))
            for name, found in self._found.items():
                parts = {
                    path: part.detach() * gradient
                    for path, part in model.encoders[name].named_parameters()
                    if (gradient := reached[part]) is not None
                }
                total[name] += score(found.followed, parts).square()
        for part, learns in learning.items():
            part.requires_grad_(learns)
        self._found = {name: found._replace(importance=total[name]) for name, found in self._found.items()}
