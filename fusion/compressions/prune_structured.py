"""Take whole channels and heads out of encoders: smaller matrices, fewer parameters, less to compute."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from fusion.batch import Batch
from fusion.compression import Compression
from fusion.compressions.cut import Family, cut, distance, families, mask, proven, put, scale, score
from fusion.compressions.follow import Followed, follow
from fusion.encoder import Encoder
from fusion.model import Model


class Found(NamedTuple):
    """What can be taken from an encoder."""

    followed: Followed
    families: list[Family]
    importance: Tensor  # of each class
    whole: dict[str, str]  # layers that stay as they are, and why


class PruneStructured(Compression):
    """Takes the share `sparsity` of the channels and heads of each layer, those of least importance.

    What belongs together is found by following a forward (as Fang et al. 2023, DepGraph, in values), and proven:
    an encoder without a channel has to compute what it does with zeros in its place. What cannot be followed
    or proven stays whole and is listed, and so is the width of an encoder. One of each layer is left in any case.

    Importance is the `l1` or `l2` norm of all parameters of a channel (Li et al. 2017), or `taylor`: the square of
    the sum of gradient times weight, in the mean over batches (Molchanov et al. 2019, equation 8).
    """

    def __init__(
        self,
        *,
        sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        importance: Literal["l1", "l2", "taylor"] = "l2",
        skip: list[str] | None = None,
    ) -> None:
        self.sparsity, self.importance, self.skip = sparsity, importance, skip or []
        self._found: dict[str, Found] = {}
        self._record: dict[str, Any] | None = None

    def observe(self, model: Model, batches: Sequence[Batch]) -> None:
        for name, part in model.encoders.items():
            inputs = next((batch.inputs[name] for batch in batches if name in batch.inputs), None)
            if inputs is not None and name not in self.skip:
                self._found[name] = self._find(cast(Encoder, part), inputs)
        if self.importance == "taylor":
            self._weigh(model, batches)

    def apply(self, model: Model) -> dict[str, Any]:
        self.prepare(model, 0, 1)
        assert self._record is not None
        return self._record

    @torch.no_grad()
    def prepare(self, model: Model, step: int, steps: int) -> None:
        if step or self._record is not None:
            return
        if not any(found.families for found in self._found.values()):
            raise ValueError(
                f"no encoder has channels or heads that can be taken; looked at: {', '.join(self._found) or 'none'}"
            )
        record: dict[str, Any] = {"shapes": {}, "numbers": {}, "kept": {}, "whole": {}}
        for name, found in self._found.items():
            encoder = model.encoders[name]
            start = f"encoders.{name}."
            record["whole"] |= {start + path: why for path, why in found.whole.items()}
            gone = []
            for family in found.families:
                order = found.importance[family.classes].argsort(stable=True)
                count = min(round(self.sparsity * len(order)), len(order) - 1)
                gone.append(family.classes[order[:count]])
                record["kept"][start + family.name] = [len(order) - count, len(order)]
                values = scale(encoder, family, len(order) - count)
                record["numbers"] |= {start + path: named for path, named in values.items()}
            if gone:
                shapes = cut(encoder, found.followed, torch.cat(gone))
                record["shapes"] |= {start + path: list(shape) for path, shape in shapes.items()}
        self._record = record

    def restore(self, model: Model, record: Mapping[str, Any]) -> None:
        own = dict(model.state_dict())
        put(model, {path: own[path].new_empty(shape) for path, shape in record["shapes"].items()})
        for path, values in record["numbers"].items():
            held = vars(model.get_submodule(path))
            if not all(type(held.get(name)) is int and type(value) is int for name, value in values.items()):
                raise ValueError(f"{path} has other numbers than {', '.join(values)}")
            held.update(values)

    def _find(self, encoder: Encoder, inputs: Mapping[str, Tensor]) -> Found:
        def run(module: nn.Module) -> list[Tensor]:
            with torch.no_grad():
                pooled, tokens, mask = module(**inputs)
            if tokens is None:
                return [pooled]
            return [pooled, tokens if mask is None else tokens.masked_fill(~mask[..., None], 0)]

        def outputs() -> Iterator[Tensor]:
            pooled, tokens, _ = encoder(**inputs)
            yield from (part for part in (pooled, tokens) if part is not None)

        followed = follow(encoder, lambda: list(outputs()))
        power = 1 if self.importance == "l1" else 2
        sizes = {name: part.detach().abs().pow(power) for name, part in encoder.named_parameters()}
        importance = score(followed, sizes)
        left, whole = [], {}
        for family in families(followed):
            strongest = int(family.classes[importance[family.classes].argmax()])
            answer = proven(encoder, followed, family, strongest, run)
            if isinstance(answer, str):
                whole[family.name] = answer
            else:
                left.append(answer)
        taken = {path.rpartition(".")[0] for family in left for path in family.paths}
        for part in followed.slices:
            layer = part.path.rpartition(".")[0]
            if layer not in taken | whole.keys():
                whole[layer] = "its channels meet the width of the encoder, or what has no channels"
        return Found(followed, left, importance, whole)

    def _weigh(self, model: Model, batches: Sequence[Batch]) -> None:
        raise NotImplementedError
