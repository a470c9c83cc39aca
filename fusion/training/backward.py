"""Compute the losses of a batch, and the gradient of every parameter."""

import torch
from accelerate import Accelerator
from torch import Tensor

from fusion.batch import Batch
from fusion.errors import TrainingError
from fusion.losses import Losses
from fusion.recipe.schema import Train
from fusion.recompute import counting
from fusion.training.gather import gather, share_buffers
from fusion.training.memory import Graphs, limit, moments, peak
from fusion.training.micro import cached
from fusion.training.sharding import Sharded
from fusion.training.whole import Whole
from fusion.training.zero import Zero


class Backward:
    """Returns the losses of the rows of all ranks and adds their gradients to the parameters.

    `held` is the model as the ranks hold it; a batch has the rows of this rank. With
    micro-batches the first step keeps no graph and shows how much memory it leaves for those of later steps.
    Raises TrainingError where a batch does not fit into the device's memory.
    """

    def __init__(self, held: Whole | Sharded | Zero, train: Train, accelerator: Accelerator) -> None:
        self.held, self.model, self.train, self.accelerator = held, held.model, train, accelerator
        self.gather = gather if accelerator.num_processes > 1 else None
        self.rows = train.rows // accelerator.num_processes
        self.graphs: Graphs | None = None

    @property
    def doubts(self) -> list[str]:
        """What may not be meant: where the gradient is not that of the whole batch."""
        rows = min(self.train.micro_batch or self.rows, self.rows)
        if rows == self.train.rows:
            return []
        whose = "train.micro_batch" if rows < self.rows else "those of one process"
        self.model.train()
        return [
            f"encoders.{name}: BatchNorm takes the statistics of {rows} rows ({whose}), not of a batch of "
            f"{self.train.rows}; what is encoded depends on how the batch is cut"
            for name, encoder in self.model.encoders.items()
            if counting(encoder)
        ]

    def __call__(self, batch: Batch) -> Losses:
        try:
            if batch.parts:
                return self._in_parts(batch)
            losses = self.held(batch, self.gather)
            self._back(losses.total)
        except torch.OutOfMemoryError as error:
            raise TrainingError(self._too_large(error)) from error
        return losses

    def _back(self, loss: Tensor) -> None:
        scaler = self.accelerator.scaler  # Accelerate's own way looks for installed packages in every step
        (loss if scaler is None else scaler.scale(loss)).backward()

    def _in_parts(self, batch: Batch) -> Losses:
        if self.graphs is not None:
            return self._cached(batch, self.graphs)
        device = self.accelerator.device
        graphs = Graphs(self.model, 0, device)
        with peak(device) as most:
            losses = self._cached(batch, graphs, compare=True)
        graphs.room = limit(device, self.train.memory_gb) - most[0] - moments(self.model)
        self.graphs = graphs
        return losses

    def _cached(self, batch: Batch, graphs: Graphs, compare: bool = False) -> Losses:
        if self.gather is not None:
            share_buffers(self.model)  # as the wrapper does, which is not called here
        losses = cached(
            self.model,
            batch,
            graphs,
            gather=self.gather,
            backward=self._back,
            autocast=self.accelerator.autocast,
            compare=compare,
        )
        if self.gather is not None:
            self.held.average()
        return losses

    def _too_large(self, error: torch.OutOfMemoryError) -> str:
        rows = self.rows
        if self.train.micro_batch is None or self.train.micro_batch >= rows:
            return (
                f"{rows} rows per process do not fit into the device's memory; lower train.batch "
                f"({self.train.rows}), set train.micro_batch to less than {rows}, use more processes, or "
                f"train.precision bf16 ({error})"
            )
        return (
            f"{self.train.micro_batch} rows at once, of {rows} per process, do not fit into the device's "
            f"memory; lower train.micro_batch, or train.memory_gb (now {self.train.memory_gb}), of which the "
            f"graphs that are kept take a part ({error})"
        )
