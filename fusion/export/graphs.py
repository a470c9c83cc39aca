"""The graphs of a model: one of each encoder with its projection, and one of fuser and tasks."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from fusion.embeddings import Embeddings
from fusion.errors import RunError
from fusion.evaluation.temperature import warmed
from fusion.export.specimens import Axes, Inputs
from fusion.model import Model


class Graph(NamedTuple):
    """A traced part of a model, with the names of what it takes and of what it gives, in their order."""

    part: str
    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Encode(nn.Module):
    """Inputs of an encoder in; vectors of unit length, (n, w), out, and tokens where the fuser reads them."""

    def __init__(self, model: Model, modality: str, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.align = model.encoders[modality], model.align[modality]
        self.names, self.reads_tokens = tuple(names), model.fuser.reads_tokens

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        encoding = self.encoder(**dict(zip(self.names, inputs, strict=True)))
        pooled, tokens, mask = self.align(encoding)
        if tokens is None or not self.reads_tokens:
            return (pooled,)
        if mask is None:
            mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
        return pooled, tokens, mask


class Head(nn.Module):
    """Vectors of every modality and which rows have it in; the fused vectors and the tasks' answers out."""

    def __init__(
        self, model: Model, tokens: Sequence[str], temperatures: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.temperatures = dict(temperatures or {})
        self.modalities, self.tokens, self.fuser = model.modalities, tuple(tokens), model.fuser
        self.tasks = model.tasks
        self.held = nn.ModuleList(self.tasks.values())

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(
            f"{name}/{part}"
            for name in self.modalities
            for part in ("vector", "present", *(("tokens", "mask") if name in self.tokens else ()))
        )

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, inputs, strict=True))
        present = {name: given[f"{name}/present"] for name in self.modalities}
        unknown = torch.zeros_like(next(iter(present.values())), dtype=torch.long)
        embeddings = Embeddings(
            {name: given[f"{name}/vector"] for name in self.modalities},
            present,
            {name: given[f"{name}/tokens"] for name in self.tokens},
            {name: given[f"{name}/mask"] for name in self.tokens},
            dict.fromkeys(self.modalities, unknown),
            unknown,
        )
        fused = self.fuser(embeddings).float()
        answers = []
        for name, task in self.tasks.items():
            value, score = task.predict(fused)
            answers += [value, warmed(score, name, present, self.temperatures)]
        return fused, *answers


def encoder_graph(model: Model, modality: str, inputs: Inputs, axes: Axes) -> Graph:
    """Trace an encoder and its projection. Raises RunError that names the encoder, and why it cannot be."""
    module = Encode(model, modality, list(inputs))
    part = f"encoders.{modality}"
    program = _trace(module, list(inputs.values()), list(axes.values()), f"{part} ({model.origins[part]})")
    outputs = ("vector", "tokens", "mask")[: _count(program)]
    return Graph(modality, program, tuple(inputs), outputs)


def head_graph(
    model: Model,
    encoded: Mapping[str, Mapping[str, Tensor]],
    temperatures: Mapping[str, float] | None = None,
) -> Graph:
    """Trace fuser and tasks with what encoder graphs gave for as many rows each. Raises RunError."""
    module = Head(model, [name for name, parts in encoded.items() if "tokens" in parts], temperatures)
    rows = len(next(iter(encoded.values()))["vector"])
    given = {f"{name}/{part}": tensor for name, parts in encoded.items() for part, tensor in parts.items()}
    given |= {f"{name}/present": torch.ones(rows, dtype=torch.bool) for name in encoded}
    tensors = [given[name] for name in module.inputs]
    axes = [("rows", *(["length"] if name.endswith(("/tokens", "/mask")) else [])) for name in module.inputs]
    axes = [(*known, *[""] * (part.ndim - len(known))) for known, part in zip(axes, tensors, strict=True)]
    program = _trace(module, tensors, axes, f"the fuser ({model.origins['fuser']}) with its tasks")
    answers = [f"{name}/{part}" for name in model.tasks for part in ("value", "score")]
    return Graph("head", program, module.inputs, ("fused", *answers))


def _trace(
    module: nn.Module, inputs: Sequence[Tensor], axes: Sequence[Sequence[str]], named: str
) -> ExportedProgram:
    moving = tuple({i: Dim.DYNAMIC for i, axis in enumerate(part) if axis} for part in axes)
    given = tuple(part.clone() for part in inputs)  # the trace of a view asks for what it is a view of
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a kernel of its own that ONNX does not know
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirect_stderr(StringIO()):  # torch prints graphs
            warnings.simplefilter("ignore")  # of libraries, on what tracing makes of them
            return torch.export.export(module.eval(), given, dynamic_shapes=(moving,), strict=False)
    except Exception as error:  # of dozens of types, whatever the code of a stranger runs into
        raise RunError(
            f"{named} cannot be exported: {reason(error)}; what it does must not depend on the numbers that "
            "go in, and be made of torch's operations"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def reason(error: BaseException) -> str:
    """Return the first line of an error that says something, with its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'it gave no reason'}"


def _count(program: ExportedProgram) -> int:
    return len(program.graph_signature.user_outputs)
