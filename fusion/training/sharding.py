"""FSDP2: each encoder in shards over the ranks, gathered layer by layer; what is small stays whole."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.utils.parametrize import ParametrizationList

from fusion.batch import Batch
from fusion.encoder import LISTS
from fusion.errors import TrainingError
from fusion.losses import Losses, Rows
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.training import shards
from fusion.training.reduce import average_gradients, clip
from fusion.training.sharded_saving import ShardedSaver
from fusion.tuning import Tuning


class Sharded:
    """A model whose encoders are in shards, called in a step as the model itself is.

    Adam keeps its state in the same shards. Projections, fuser and objectives are small and may
    use their parameters as the rows of a rank want it, so they are whole on each, as they are without shards.
    """

    all_save = True

    def __init__(self, model: Model, recipe: Recipe, accelerator: Accelerator) -> None:
        _expect_shardable(model, recipe)
        self.model, self.accelerator = model, accelerator
        self.hosts = cast(Any, dist.new_group(backend="gloo"))  # what is said here waits for no device
        part: Tensor
        for part in (*model.parameters(), *model.buffers()):  # whatever drew them, shards are of one model
            dist.broadcast(part.data, 0, group=self.hosts)
        self._bare = _without_weights(model)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for encoder in model.encoders.values():
            shard(encoder, mesh)
        model.to(accelerator.device)  # what is whole; shards are there

    def __call__(self, batch: Batch, gather: Callable[[Rows], Rows] | None) -> Losses:
        with self.accelerator.autocast():
            losses: Losses = self.model(batch, gather)
        return losses

    def complete(self, batch: Batch) -> Batch:
        """Return a batch, not yet on the device, with inputs of all modalities that any rank has.

        All ranks have to gather an encoder's layers together. One without rows of a modality encodes those of
        the rank that has the fewest; no row of the batch has them, so they get no gradient.
        """
        own = [
            len(next(iter(batch.inputs[name].values()))) if name in batch.inputs else 0
            for name in batch.present
        ]
        counts = torch.zeros(self.accelerator.num_processes, len(own), dtype=torch.long)
        counts[self.accelerator.process_index] = torch.tensor(own)
        dist.all_reduce(counts, group=self.hosts)
        inputs: dict[str, Any] = dict(batch.inputs)
        for name, rows in zip(batch.present, counts.T.tolist(), strict=True):
            if 0 < rows.count(0) < len(rows):
                lender = min((count, rank) for rank, count in enumerate(rows) if count)[1]
                lent = [inputs.get(name)]
                dist.broadcast_object_list(lent, lender, group=self.hosts)
                inputs.setdefault(name, lent[0])
        return batch._replace(inputs=inputs)

    def optimizer(self, adamw: torch.optim.AdamW) -> Any:
        """Return the optimiser as Accelerate prepares it: it has the same shards."""
        return self.accelerator.prepare(adamw)

    def average(self) -> None:
        """Leave the gradients as they are: `clip` averages them."""

    def clip(self, limit: float | None) -> Tensor:
        """Average gradients of what is whole, scale all to a norm of at most `limit`; return that before."""
        parameters = list(self.model.parameters())
        average_gradients(part for part in parameters if not isinstance(part, DTensor))
        divided, whole = [], []
        for part in parameters:
            if isinstance(part.grad, DTensor):
                divided.append(part.grad.to_local())
            elif part.grad is not None:
                whole.append(part.grad)
        return clip(divided, whole, limit, self.accelerator.device)

    def saver(self, *given: Any) -> ShardedSaver:
        """Return what writes checkpoints, given all that `Saver` is given."""
        return ShardedSaver(self.hosts, *given)

    def gathered(self) -> Model:
        """Return the model with whole weights, on every rank; all ranks call it."""
        state = {name: _full(value) for name, value in self.model.state_dict().items()}
        whole = copy.deepcopy(self._bare)  # whose weights are freed with it
        whole.load_state_dict(state, assign=True)
        return whole.to(self.accelerator.device)


def shard(encoder: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters of an encoder among the ranks of a mesh, along their first axis."""
    for part in encoder.parameters():
        part.data = part.data.contiguous()  # FSDP2 does not take channels last
    scalars = {part for part in encoder.parameters() if part.ndim == 0}  # which FSDP2 does not take
    for module in (*layers(encoder), encoder):
        fully_shard(module, mesh=mesh, ignored_params=scalars)


def _full(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _without_weights(model: Model) -> Model:
    """Return a copy of a model whose parameters take no memory."""
    memo = {id(part): nn.Parameter(part.to("meta"), part.requires_grad) for part in model.parameters()}
    return copy.deepcopy(model, memo)


def layers(encoder: nn.Module) -> list[nn.Module]:
    """Return what is gathered at a time: the elements of lists, where they share no parameter."""
    places = Counter(part for _, part in encoder.named_parameters(remove_duplicate=False))
    found = []
    for module in _elements(encoder):
        own = Counter(part for _, part in module.named_parameters(remove_duplicate=False))
        if any(part.ndim for part in own) and all(places[part] == count for part, count in own.items()):
            found.append(module)
    return found


def _elements(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, ParametrizationList):  # whose elements are not layers
            continue
        if isinstance(module, LISTS) and not isinstance(child, LISTS):
            yield child
        else:
            yield from _elements(child)


def _expect_shardable(model: Model, recipe: Recipe) -> None:
    """Raise TrainingError for what does not go with shards."""
    scheduled = [
        name for name, tuning in model.tunings.items() if type(tuning).start_step is not Tuning.start_step
    ]
    owners = Counter(part for encoder in model.encoders.values() for part in set(encoder.parameters()))
    refused = {
        f"encoders.{name}.tune.mode: what learns changes from step to step": True for name in scheduled
    } | {
        "prior: it pulls whole parameters": recipe.prior is not None,
        "train.adversarial: it encodes without the wrapper": recipe.train.adversarial is not None,
        "train.compile: layers are gathered between what is compiled": recipe.train.compile,
        "train.micro_batch: each process cuts its rows for itself": recipe.train.micro_batch is not None,
        "train.precision fp16: use bf16": recipe.train.precision == "fp16",
        "encoders: two of them share parameters": any(count > 1 for count in owners.values()),
    }
    told = [what for what, found in refused.items() if found]
    if told:
        raise TrainingError(
            f"launched with FSDP2, which does not go with {'; '.join(told)}; launch without it (--launch ddp)"
        )
    if not shards.possible():
        raise TrainingError(f"FSDP2 needs torch 2.9 or newer, this is {torch.__version__}; launch without it")
    if not dist.is_initialized():
        raise TrainingError("launched with FSDP2, but as one process alone; use --launch fsdp2, or torchrun")
