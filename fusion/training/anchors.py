"""Pull parameters to where a prior holds them, after the optimiser's step: no graph, no host sync."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fusion import build
from fusion.errors import PluginError, Problem, RecipeError
from fusion.model import Model, part_of
from fusion.prior import Earlier, Prior, Pull
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.transfer.initial import Start

CHUNK = 2**20
"""Numbers that are pulled at once: what is in between, 4 MB, stays in the cache of a CPU."""


class Anchors:
    """The parameters that a prior holds, by name, and how each is pulled."""

    def __init__(self, name: str, learning: Mapping[str, nn.Parameter], pulls: Mapping[str, Pull]) -> None:
        self.name, self.learning, self.pulls = name, dict(learning), dict(pulls)
        self._groups: list[list[_Alike]] = []  # of each group of the optimiser

    @property
    def held(self) -> set[nn.Parameter]:
        return {self.learning[name] for name in self.pulls}

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for pull in self.pulls.values() for part in pull if isinstance(part, Tensor))

    @cached_property
    def digest(self) -> str | None:
        """The SHA-256 of all pulls, by which a resumed training knows that they are still the same."""
        if not self.pulls:
            return None
        told = hashlib.sha256()
        for name, pull in self.pulls.items():
            told.update(name.encode())
            for part in pull:
                told.update(_bytes(part) if isinstance(part, Tensor) else repr(part).encode())
        return told.hexdigest()

    def __str__(self) -> str:
        """Say in one line what is held of each part of the model, in tensors that learn."""
        learning, held = (Counter(map(part_of, names)) for names in (self.learning, self.pulls))
        counts = ", ".join(f"{part} {held[part]} of {count}" for part, count in sorted(learning.items()))
        some = sum(self.learning[name].numel() for name in self.pulls)
        every = sum(parameter.numel() for parameter in self.learning.values())
        return f"{self.name} holds {some:,} of {every:,} parameters that learn; tensors: {counts}"

    def attach(self, optimizer: Optimizer) -> None:
        """Pull whenever the optimiser has taken a step, of what it moved, at the rates of its groups."""
        pulls = {self.learning[name]: pull for name, pull in self.pulls.items()}
        for group in optimizer.param_groups:
            alike: dict[tuple[float | None, bool], list[_Alike]] = {}
            for parameter in group["params"]:
                if parameter in pulls:
                    strength, anchor = pulls[parameter]
                    key = (None if isinstance(strength, Tensor) else strength, anchor is None)
                    some = alike.setdefault(key, [_Alike()])
                    if some[-1].numbers + parameter.numel() > CHUNK:
                        some.append(_Alike())
                    some[-1].add(parameter, strength, anchor)
            self._groups.append([part for some in alike.values() for part in some])
        if self.pulls:
            optimizer.register_step_post_hook(lambda stepped, args, given: self.pull(stepped))

    @torch.no_grad()
    def pull(self, optimizer: Optimizer) -> None:
        """Pull once, at the present rates, what has a gradient."""
        # a step that is left out is so on the device, where this number is then 1
        skipped: Tensor | None = vars(optimizer).get("found_inf")
        for group, parts in zip(optimizer.param_groups, self._groups, strict=True):
            for part in parts:
                part.pull(group["lr"] if skipped is None else group["lr"] * (1 - skipped))


class _Alike:
    """Parameters that are pulled by one set of operations: to zero or not, by one strength or by one each."""

    def __init__(self) -> None:
        self.parts: list[tuple[nn.Parameter, float | Tensor, Tensor | None]] = []
        self.numbers = 0

    def add(self, parameter: nn.Parameter, strength: float | Tensor, anchor: Tensor | None) -> None:
        self.numbers += parameter.numel()
        if isinstance(strength, Tensor):
            strength = strength.to(parameter)
            anchor = torch.zeros_like(strength) if anchor is None else anchor
        self.parts.append((parameter, strength, None if anchor is None else anchor.to(parameter)))

    def pull(self, rate: float | Tensor) -> None:
        """Take the exact step for a rate, (theta + c anchor) / (1 + c): no strength overshoots."""
        moved = [part for part in self.parts if part[0].grad is not None]  # as the optimiser chooses
        if not moved:
            return
        parameters, strengths, anchors = map(list, zip(*moved, strict=True))
        strength = strengths[0]
        if isinstance(strength, Tensor):
            weights = torch._foreach_mul(strengths, rate)  # c / (1 + c) as 1 / (1 / c + 1), also for c = 0
            torch._foreach_reciprocal_(weights)
            torch._foreach_add_(weights, 1)
            torch._foreach_reciprocal_(weights)
            torch._foreach_lerp_(parameters, anchors, weights)
            return
        c = rate * strength
        if anchors[0] is None:
            torch._foreach_mul_(parameters, 1 / (1 + c))
        elif isinstance(c, Tensor):
            # one number for all, on the device: as lerp with a list of it would do it tensor by tensor
            moves = torch._foreach_sub(anchors, parameters)
            torch._foreach_mul_(moves, c / (1 + c))
            torch._foreach_add_(parameters, moves)
        else:
            torch._foreach_lerp_(parameters, anchors, c / (1 + c))


def anchor(recipe: Recipe, model: Model, start: Start | None, registry: Registry) -> Anchors:
    """Ask the recipe's prior about what learns, before the first step. Raises RecipeError or PluginError."""
    learning = {
        model.names.get(parameter, name): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    if recipe.prior is None:
        return Anchors("", learning, {})
    earlier = None if start is None else Earlier(start.origin["init"], start.origin["sha256"])
    prior = build.build_prior(recipe.prior, registry, earlier)
    known = known_names(model, start)
    origin = registry.find("prior", recipe.prior.name).origin
    asked = {
        name: _asked(prior, f"prior {recipe.prior.name} of {origin}", name, parameter, name in known)
        for name, parameter in learning.items()
    }
    pulls = {name: pull for name, pull in asked.items() if pull is not None}
    if not pulls:
        message = f"{recipe.prior.name} holds nothing of what learns; give `init`, or pretrained encoders"
        raise RecipeError([Problem("prior", message)])
    return Anchors(recipe.prior.name, learning, pulls)


def _asked(prior: Prior, said: str, name: str, parameter: nn.Parameter, known: bool) -> Pull | None:
    """Ask a prior for one parameter. Raises PluginError, naming it, where it fails or gives no pull."""
    try:
        pull = prior.pull(name, parameter.detach().clone(), known)
    except Exception as error:
        raise PluginError(f"{said} failed for {name}: {error!r}") from error
    if pull is not None and not isinstance(pull, Pull):
        raise PluginError(f"{said} gave {pull!r} for {name}, expected a fusion.Pull or None")
    return pull


def known_names(model: Model, start: Start | None) -> set[str]:
    """Return the parameters that `init` has given, and those of encoders with pretrained weights."""
    pretrained = {f"encoders.{name}" for name, origin in model.pretrained.items() if origin}
    names = {name for name in model.names.values() if part_of(name) in pretrained}
    return names if start is None else names | set(start.taken)


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
