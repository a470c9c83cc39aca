"""Find where in an encoder an answer can be attributed to its input, and exchange what is there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fusion.encoder import Encoder
from fusion.errors import RunError


class AttributionError(RunError):
    """The input of an encoder cannot be attributed; the message says why."""


class Place(NamedTuple):
    """The input of a module, an input of the encoder by its name, or what an embedding of tokens gives."""

    module: nn.Module
    name: str = ""  # of the encoder's input
    tokens: bool = False

    @contextmanager
    def exchanged(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Let the module go on with what `change` makes of what is first there, (n, ...)."""
        seen: list[Tensor] = []

        def once(given: Any) -> Any:
            if not isinstance(given, Tensor):
                raise AttributionError(
                    f"a {type(given).__name__} and no tensor goes into {type(self.module).__name__}"
                )
            if seen:
                return given
            seen.append(given)
            return change(given)

        with _removed(self._hook(once)):
            yield

    def _hook(self, change: Callable[[Any], Any]) -> RemovableHandle:
        if self.tokens:
            return self.module.register_forward_hook(lambda _, given, made: change(made))
        if self.name:
            return self.module.register_forward_pre_hook(
                lambda _, given, named: (given, {**named, self.name: change(named[self.name])}),
                with_kwargs=True,
            )
        return self.module.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))


def place(encoder: Encoder, inputs: Mapping[str, Tensor], made_by: str) -> Place:
    """Return where the encoder is to be attributed. Raises AttributionError that names `made_by`."""
    module = encoder.attributed()
    if module is not None:
        return Place(module)
    for name, part in inputs.items():
        if part.is_floating_point():
            return Place(encoder, name)
    embedding = _embedding(encoder, inputs)
    if embedding is None:
        raise AttributionError(f"{made_by} reads neither floats nor tokens through an nn.Embedding")
    return Place(embedding, tokens=True)


def _embedding(encoder: Encoder, inputs: Mapping[str, Tensor]) -> nn.Embedding | None:
    """Return the embedding that is first given an input of the encoder as it is: the one of its tokens."""
    found: list[nn.Embedding] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Embedding) and any(torch.equal(given[0], part) for part in inputs.values()):
            found.append(module)

    handles = [
        module.register_forward_pre_hook(look)
        for module in encoder.modules()
        if isinstance(module, nn.Embedding)
    ]
    with _removed(*handles):
        encoder(**inputs)
    return found[0] if found else None


@contextmanager
def _removed(*handles: RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
