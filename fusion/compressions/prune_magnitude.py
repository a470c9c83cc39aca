"""Set the weights nearest to zero to zero."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fusion.compression import Compression
from fusion.compressions.computed import computed, why_nothing
from fusion.compressions.masks import cubic, largest
from fusion.compressions.packing import pack, unpack
from fusion.model import Model
from fusion.quantization.held import Temporary

EVERY = 10  # steps between two choices of what stays, while the sparsity grows


class PruneMagnitude(Compression):
    """Sets the share `sparsity` of weights, those nearest to zero, to zero for good (Han et al. 2015).

    Weights are what has two axes longer than one: matrices, kernels and embeddings, not biases, norms and
    temperatures. Those of each tensor are ranked alone, or all together with `scope: global`; a tensor keeps
    its largest in any case. `skip` names beginnings of names that stay whole, such as "encoders.text.bytes".

    In a training before, the sparsity grows for the share `ramp` of the steps (Zhu and Gupta 2017, equation
    1) and then holds; with ramp 0 all is done before the first step. What went does not come back.

    Computing with zeros takes as long as with other numbers. The file is smaller: it has the other numbers
    and a bit for each weight, where that is less.
    """

    def __init__(
        self,
        *,
        sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.8,
        scope: Literal["layer", "global"] = "layer",
        skip: list[str] | None = None,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        self.sparsity, self.scope, self.skip, self.ramp = sparsity, scope, skip or [], ramp

    @torch.no_grad()
    def apply(self, model: Model) -> dict[str, Any]:
        for module, name, _ in list(_held(model)):
            parametrize.remove_parametrizations(module, name)
        weights = self._weights(model)
        if not weights:
            raise ValueError(f"no weight is left to prune beside skip: {', '.join(self.skip) or 'none'}")
        tensors: list[Tensor] = [weight.tensor for weight in weights]
        for weight, mask in zip(weights, self._largest(tensors, self.sparsity), strict=True):
            weight.tensor.mul_(mask)
        smaller = [weight.path for weight in weights if _packs(weight.tensor)]
        record = {"packed": smaller, "pruned": {weight.path: _zeros(weight.tensor) for weight in weights}}
        self.restore(model, record)
        return record

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        for path in record["packed"]:
            owner, _, name = path.rpartition(".")
            module = model.get_submodule(owner)
            if name not in module._parameters:
                raise ValueError(f"{path} is no parameter of the model")
            pack(module, name)

    def expand(self, model: Model, record: Mapping[str, Any]) -> None:
        for path in record["packed"]:
            unpack(model.get_submodule(path.rpartition(".")[0]))

    @torch.no_grad()
    def prepare(self, model: Model, step: int, steps: int) -> None:
        held = list(_held(model))
        if not held and step == 0:
            weights, taken = self._weights(model), computed(model)
            if any(weight.path in taken for weight in weights):
                raise ValueError(f"a weight that is rounded cannot be masked{why_nothing(model)}")
            for weight in weights:
                if not weight.shared and not isinstance(weight.module, parametrize.ParametrizationList):
                    parametrize.register_parametrization(weight.module, weight.name, Mask(weight.tensor))
            held = list(_held(model))
        end = round(self.ramp * steps)
        if step > end or (step < end and step % EVERY):
            return
        sparsity = cubic(self.sparsity, step / end) if end else self.sparsity
        effective = [original * mask.kept for _, _, (original, mask) in held]
        for (_, _, (_, mask)), kept in zip(held, self._largest(effective, sparsity), strict=True):
            mask.kept.copy_(kept)

    def conclude(self, model: Model) -> None:
        for module, name, _ in list(_held(model)):
            parametrize.remove_parametrizations(module, name)

    def _largest(self, tensors: list[Tensor], sparsity: float) -> list[Tensor]:
        if self.scope == "global":
            return largest(tensors, sparsity)
        return [mask for tensor in tensors for mask in largest([tensor], sparsity)]

    def _weights(self, model: Model) -> list["Weight"]:
        """Return what is pruned, each once. Raises ValueError for what `skip` names in vain."""
        found: dict[nn.Parameter, Weight] = {}
        for path, part in model.named_parameters(remove_duplicate=False):
            owner, _, name = path.rpartition(".")
            if part in found:
                found[part] = found[part]._replace(shared=True)
            elif sum(length > 1 for length in part.shape) > 1:
                found[part] = Weight(path, model.get_submodule(owner), name, part, False)
        for skipped in self.skip:
            if not any(weight.path.startswith(skipped) for weight in found.values()):
                some = ", ".join(weight.path for weight in list(found.values())[:4])
                raise ValueError(f"skip names {skipped!r}, with which no weight begins; there are {some} ...")
        return [weight for weight in found.values() if not weight.path.startswith(tuple(self.skip))]


class Weight(NamedTuple):
    """A parameter that is pruned."""

    path: str
    module: nn.Module
    name: str  # in its module
    tensor: nn.Parameter
    shared: bool  # whether several modules have it


class Mask(Temporary):
    """Multiplies a weight by zeros and ones while it is trained; a checkpoint keeps them."""

    kept: Tensor  # bool, of the shape of the weight

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept


def _held(model: nn.Module) -> Iterator[tuple[nn.Module, str, tuple[nn.Parameter, Mask]]]:
    """Yield the module, name, trained tensor and mask of each weight that is being pruned."""
    for module in model.modules():
        if not parametrize.is_parametrized(module):
            continue
        lists: Any = module.parametrizations
        for name, chain in lists.items():
            if isinstance(chain[-1], Mask):
                yield module, name, (chain.original, chain[-1])


def _zeros(tensor: Tensor) -> int:
    return tensor.numel() - int(tensor.count_nonzero())


def _packs(tensor: Tensor) -> bool:
    """Whether the numbers that are not zero, and a bit for each, take less than the tensor."""
    return _zeros(tensor) * tensor.itemsize > tensor.numel() / 8
