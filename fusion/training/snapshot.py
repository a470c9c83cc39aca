"""Copy the state of a training into the memory of the host, from where it is written while it changes."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Snapshot:
    """Copies of tensors by name; their memory is used again by the next ones."""

    def __init__(self) -> None:
        self._copies: dict[str, Tensor] = {}
        self._copied: torch.cuda.Event | None = None

    def take(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies, which on a GPU are whole only after `wait`.

        The copy is queued behind the step that made the tensors and before the next one, so nobody waits
        here. What was returned before is overwritten.
        """
        copies = {name: self._place(name, tensor) for name, tensor in tensors.items()}
        for name, copy in copies.items():
            copy.copy_(tensors[name].detach(), non_blocking=tensors[name].is_cuda)
        devices = [tensor.device for tensor in tensors.values() if tensor.is_cuda]
        self._copied = torch.cuda.current_stream(devices[0]).record_event() if devices else None
        self._copies = copies
        return copies

    def wait(self) -> None:
        """Wait until the copies are whole; any thread may."""
        if self._copied is not None:
            self._copied.synchronize()

    def _place(self, name: str, tensor: Tensor) -> Tensor:
        held = self._copies.get(name)
        if held is not None and held.shape == tensor.shape and held.dtype == tensor.dtype:
            return held
        # pageable memory would be copied into while the processor waits
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
