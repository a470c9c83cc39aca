"""AdamW in parts: each rank moves its part of the parameters; its state is joined in a checkpoint."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from fusion.training.checkpoint import Best
from fusion.training.saving import Saver

MOMENTS = ("exp_avg", "exp_avg_sq")


class Piece(NamedTuple):
    """What this rank moves of a parameter: numbers `begin` to `end` of it, at `at` in the rank's part."""

    of: nn.Parameter
    begin: int
    end: int
    at: int
    numbers: nn.Parameter  # (end - begin,), in the memory of the rank's part

    def within(self, part: Tensor) -> Tensor:
        return part[self.at : self.at + self.end - self.begin]


class Divided(Optimizer):
    """AdamW over the pieces of this rank, called as the optimiser of a training is.

    DeepSpeed lays the parameters of a group end to end and gives each rank an equal part. AdamW moves it not
    as one, but by parameter: so one that no rank has a gradient for is left alone, and counts no step.
    """

    def __init__(self, adamw: torch.optim.AdamW, divide: Callable[[Optimizer], Any]) -> None:
        self.adamw, self.optimizer = adamw, self  # the second stands for that of Accelerate's wrapper
        self.groups = [list(group["params"]) for group in adamw.param_groups]
        flat = _Flat(self)
        self.zero = divide(flat)
        self.parts: list[nn.Parameter] = [group["params"][0] for group in flat.param_groups]
        self.pieces = [list(_pieces(*both)) for both in zip(self.groups, self.parts, strict=True)]
        for group, pieces in zip(adamw.param_groups, self.pieces, strict=True):
            group["params"] = [piece.numbers for piece in pieces]
        self.moved: set[nn.Parameter] = set()
        super().__init__(adamw.param_groups, {})  # the same groups: who sets a rate here sets AdamW's

    def reduced(self) -> list[Tensor]:
        """Average the gradients over the ranks; return what this rank moves by. All ranks call it."""
        self.moved = {part for group in self.groups for part in group if part.grad is not None}
        self.zero.reduce_gradients()
        return [gradient for some in self.zero.averaged_gradients.values() for gradient in some]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the pieces of this rank, and give all ranks those of all. All ranks call it."""
        known = vars(self)  # of a step that may be left out on the device
        vars(self.adamw).update({key: known[key] for key in ("grad_scale", "found_inf") if key in known})
        self.zero.refresh_fp32_params()  # whoever wrote into the weights since
        self.zero.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.zero.zero_grad(set_to_none)

    @torch.no_grad()
    def move(self, number: int) -> None:
        """Let AdamW move the pieces of a group; DeepSpeed has put the gradient of all of them to its part."""
        gradient = self.parts[number].grad
        assert gradient is not None
        for piece in self.pieces[number]:
            piece.numbers.grad = piece.within(gradient) if piece.of in self.moved else None
        groups = self.adamw.param_groups
        self.adamw.param_groups = [groups[number]]
        self.adamw.step()
        self.adamw.param_groups = groups
        for piece in self.pieces[number]:
            piece.numbers.grad = None

    def joined(self, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
        """Return the state of all ranks as `optimizer_tensors` does, on the host of the first.

        All ranks call it; on the others there are no moments in what it returns.
        """
        ranks = dist.get_world_size() if dist.get_rank() == 0 else 0
        steps = self._steps()
        tensors: dict[str, Tensor] = {}
        for parameters, part, pieces in zip(self.groups, self.parts, self.pieces, strict=True):
            for key in MOMENTS:
                own = torch.zeros_like(part)
                for piece in pieces:
                    if piece.numbers in self.adamw.state:
                        piece.within(own).copy_(self.adamw.state[piece.numbers][key])
                whole = [torch.empty_like(own) for _ in range(ranks)]
                dist.gather(own, whole or None)
                if not whole:
                    continue
                sizes = [parameter.numel() for parameter in parameters]
                flat = torch.cat(whole).cpu()[: sum(sizes)]
                for parameter, values in zip(parameters, torch.split(flat, sizes), strict=True):
                    if parameter in steps:
                        tensors[f"{names[parameter]}/{key}"] = values.view(parameter.shape)
        return tensors | {f"{names[parameter]}/step": count for parameter, count in steps.items()}

    def take(self, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]) -> None:
        """Take this rank's pieces of what `joined` returned, on whatever number of ranks."""
        for piece in chain(*self.pieces):
            name = names[piece.of]
            if f"{name}/step" in tensors:
                state = {
                    key: tensors[f"{name}/{key}"]
                    .flatten()[piece.begin : piece.end]
                    .to(piece.numbers, copy=True)
                    for key in MOMENTS
                }
                state["step"] = tensors[f"{name}/step"].to(piece.numbers.device)
                self.adamw.state[piece.numbers] = state

    def _steps(self) -> dict[nn.Parameter, Tensor]:
        """Return how often each parameter was moved, of those that were; all ranks call it."""
        order = {parameter: number for number, parameter in enumerate(chain(*self.groups))}
        counts = torch.zeros(len(order), device=self.parts[0].device)
        for piece in chain(*self.pieces):
            if piece.numbers in self.adamw.state:
                counts[order[piece.of]] = self.adamw.state[piece.numbers]["step"]
        dist.all_reduce(counts, dist.ReduceOp.MAX)
        counts = counts.cpu()
        return {parameter: counts[number] for parameter, number in order.items() if counts[number]}


class DividedSaver(Saver):
    """Writes what one process would, for any number of processes to read, from an optimiser in parts."""

    def save(self, done: int, seconds: float, journal: Mapping[str, Any], best: Best) -> None:
        """Join the state after this many steps and seconds; the main process begins to write. All call it."""
        self.joined: dict[str, Tensor] = self.adamw.joined(self._names())
        if self.accelerator.is_main_process:
            super().save(done, seconds, journal, best)

    def _state(self) -> dict[str, Tensor]:
        return self.joined

    def _put_back(self, tensors: Mapping[str, Tensor]) -> None:
        self.adamw.take(self._names(), tensors)

    def _names(self) -> dict[Tensor, str]:
        return {parameter: name for name, parameter in self.model.named_parameters()}


class _Flat(Optimizer):
    """What DeepSpeed takes for the optimiser: it makes one parameter of each group, this rank's part."""

    def __init__(self, divided: Divided) -> None:
        super().__init__(
            [{"params": group, "number": number} for number, group in enumerate(divided.groups)], {}
        )
        self.divided = divided

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            self.divided.move(group["number"])


def _pieces(parameters: list[nn.Parameter], part: nn.Parameter) -> Iterator[Piece]:
    """Yield what of these parameters, laid end to end, is in this rank's part."""
    first = dist.get_rank() * part.numel()
    start = 0
    for parameter in parameters:
        begin, end = (
            min(max(bound - start, 0), parameter.numel()) for bound in (first, first + part.numel())
        )
        if begin < end:
            at = start + begin - first
            yield Piece(parameter, begin, end, at, nn.Parameter(part.data[at : at + end - begin]))
        start += parameter.numel()
