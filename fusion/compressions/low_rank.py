"""Write weights as products of two thin ones."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from fusion.compression import Compression, replace
from fusion.compressions.computed import why_nothing
from fusion.model import Model

HELD = "low_rank"
"""Where a model holds the ranks of what was put into it before a training, until they are asked for."""


class LowRank(Compression):
    """Truncated singular value decomposition of linear layers: W, (o, i), becomes U V, (o, r) and (r, i).

    The rank r is the least that keeps `energy` of the squared singular values of a layer (Eckart and Young
    1936: no other matrix of that rank is nearer to W). A layer that would not become smaller, with
    r (o + i) >= o i, stays as it is. Where training goes on before, it is that of the factors.
    """

    def __init__(self, *, energy: Annotated[float, Field(gt=0, lt=1)] = 0.95) -> None:
        self.energy = energy
        self._done = False

    def apply(self, model: Model) -> dict[str, Any]:
        held: list[dict[str, int]] = vars(model).setdefault(HELD, [])
        return {"ranks": held.pop(0) if held else self._factorise(model)}

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for name, rank in record["ranks"].items():
            linear = model.get_submodule(name)
            if type(linear) is not nn.Linear or rank not in range(1, min(linear.weight.shape) + 1):
                raise ValueError(f"{name} is no linear layer of rank {rank!r}")
            replace(model, name, Product(linear, rank))

    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        for name in record["ranks"]:
            replace(model, name, cast(Product, model.get_submodule(name)).joined())

    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step == 0 and not self._done:
            vars(model).setdefault(HELD, []).append(self._factorise(model))
            self._done = True

    @torch.no_grad()
    def _factorise(self, model: Model) -> dict[str, int]:
        """Put products in place of linear layers that become smaller; return the rank of each."""
        ranks = {}
        for name, linear in list(model.named_modules()):
            if type(linear) is nn.Linear and (rank := self._rank(linear.weight)):
                replace(model, name, Product(linear, rank).factorised(linear.weight))
                ranks[name] = rank
        if not ranks:
            raise ValueError(
                f"no linear layer becomes smaller at energy={self.energy}; lower it{why_nothing(model)}"
            )
        return ranks

    def _rank(self, weight: Tensor) -> int:
        """Return the rank to keep; 0 where that makes nothing smaller."""
        energies = torch.linalg.svdvals(weight.double()).square().cumsum(0)
        rank = int((energies < self.energy * energies[-1]).sum()) + 1
        return rank if rank * sum(weight.shape) < weight.numel() else 0


class Product(nn.Module):
    """A linear layer whose weight is U V; both learn where the weight that they replace did."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        kept = linear.weight
        self.rank = rank
        self.into = nn.Parameter(kept.new_empty(rank, linear.in_features), kept.requires_grad)  # V
        self.out = nn.Parameter(kept.new_empty(linear.out_features, rank), kept.requires_grad)  # U
        self.bias = linear.bias

    def factorised(self, weight: Tensor) -> "Product":
        """Return it with the nearest product of its rank, both factors of the same norm."""
        left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
        root = values[: self.rank].sqrt()
        self.out.copy_(left[:, : self.rank] * root)
        self.into.copy_(root[:, None] * right[: self.rank])
        return self

    @property
    def weight(self) -> Tensor:
        """The product, (o, i), for code that looks at the weights of its layers."""
        return self.out @ self.into

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.linear(x, self.into), self.out, self.bias)

    def joined(self) -> nn.Linear:
        """Return an ordinary linear layer."""
        linear = nn.Linear(self.into.shape[1], len(self.out), bias=self.bias is not None)
        linear.weight = nn.Parameter(self.weight.detach(), self.out.requires_grad)
        linear.bias = self.bias
        return linear
