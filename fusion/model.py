"""Encode present rows, align, fuse, compute the losses: one module with one forward."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from fusion.batch import Batch, Target
from fusion.division import divided
from fusion.embeddings import Align, Embeddings
from fusion.encoder import Encoder, Encoding, Processor, save_each
from fusion.errors import PluginError, Problem, RecipeError
from fusion.fuser import Fuser
from fusion.losses import Losses, Rows
from fusion.objective import Objective, Task
from fusion.tuning import Tuning, rest


def check_names(encoders: Iterable[str], objectives: Iterable[str]) -> None:
    """Raise RecipeError for names under which torch's dicts of modules and parameters keep something else."""
    taken = {*dir(nn.ModuleDict()), *dir(nn.ParameterDict())}
    paths = {f"encoders.{name}": name for name in encoders} | {
        f"objectives.{name}": name for name in objectives
    }
    problems = [
        Problem(path, f"torch needs the name {name!r} for itself; use another")
        for path, name in paths.items()
        if name in taken
    ]
    if problems:
        raise RecipeError(problems)


def part_of(name: str) -> str:
    """Return the part of a model that a parameter belongs to: "encoders.image", "align.image", "fuser" ..."""
    section, _, rest = name.partition(".")
    return section if section == "fuser" else f"{section}.{rest.partition('.')[0]}"


class Model(nn.Module):
    """All that is trained. `origins` says for each part ("encoders.image", "fuser") which plugin made it."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        width: int,
        fuser: Fuser,
        objectives: Mapping[str, Objective],
        weights: Mapping[str, float],
        origins: Mapping[str, str],
    ) -> None:
        super().__init__()
        check_names(encoders, objectives)
        self.modalities = tuple(encoders)
        self.encoders = nn.ModuleDict(encoders)
        self.align = nn.ModuleDict({name: Align(encoder.dim, width) for name, encoder in encoders.items()})
        self.fuser = fuser
        for encoder in encoders.values():
            encoder.tokens_read = fuser.reads_tokens
        self.objectives = nn.ModuleDict(objectives)
        self.width = width
        self.weights = dict(weights)
        self.origins = dict(origins)
        self.tunings: dict[str, Tuning] = {}
        # those in files of weights: a tuning may move a parameter to another name
        self.names: dict[nn.Parameter, str] = {part: name for name, part in self.named_parameters()}

    @property
    def processors(self) -> dict[str, Processor]:
        """What turns raw samples into the inputs of each encoder, by modality."""
        return {name: cast(Encoder, encoder).processor for name, encoder in self.encoders.items()}

    @property
    def pretrained(self) -> dict[str, Mapping[str, str]]:
        """Where the pretrained weights of each encoder come from, by modality; empty where there are none."""
        return {name: cast(Encoder, encoder).origin for name, encoder in self.encoders.items()}

    def save_assets(self, folder: Path) -> list[Path]:
        """Let each encoder write what building it again takes into a folder of its own; return the files."""
        folder.mkdir(parents=True, exist_ok=True)
        save_each({name: cast(Encoder, part) for name, part in self.encoders.items()}, folder)
        if not any(folder.iterdir()):
            folder.rmdir()
        return sorted(path for path in folder.rglob("*") if path.is_file())

    @property
    def tasks(self) -> dict[str, Task]:
        """The objectives that can answer, by name."""
        return {name: part for name, part in self.objectives.items() if isinstance(part, Task)}

    def forward(self, batch: Batch, gather: Callable[[Rows], Rows] | None = None) -> Losses:
        """Return the losses of a batch; `gather` joins the rows of all ranks before they are computed."""
        rows = self.rows(batch)
        return self.losses(rows if gather is None else gather(rows))

    def rows(self, batch: Batch) -> Rows:
        """Return what the losses read of a batch."""
        embeddings = self.embed(batch)
        fused = self.fuse(embeddings, batch.shown)
        return Rows(embeddings._replace(tokens={}, mask={}), fused, batch.targets)

    def losses(self, rows: Rows) -> Losses:
        """Return the losses of rows that are embedded and fused."""
        with divided(rows.division), torch.autocast(rows.fused.device.type, enabled=False):
            parts = {
                name: objective(rows.embeddings, rows.fused, rows.targets)
                for name, objective in self.objectives.items()
            }
        total = torch.stack([self.weights[name] * loss for name, loss in parts.items()]).sum()
        if torch.is_grad_enabled() and not total.requires_grad:  # no row of the batch could be read
            every = (*self.align.parameters(), *self.parameters())  # those of align are whole on each rank
            total = total + 0 * next(weight for weight in every if weight.requires_grad).sum()
        # backward hands a factor of NaN to every gradient: a loss that is not finite trains nothing
        total = total * torch.where(total.isfinite(), 1.0, float("nan"))
        vectors = {f"encoders.{name}": pooled for name, pooled in rows.embeddings.pooled.items()}
        vectors["fuser"] = rows.fused
        return Losses(total, parts, {name: some.isfinite().all(1) for name, some in vectors.items()})

    def tune(self, modality: str, tuning: Tuning) -> None:
        """Let an encoder learn in this way. Raises ValueError where it cannot."""
        tuning.prepare(cast(Encoder, self.encoders[modality]))
        self.tunings[modality] = tuning

    def merge(self) -> None:
        """Let the encoders have their original form, with what was learned in their own weights."""
        for name, tuning in self.tunings.items():
            tuning.merge(cast(Encoder, self.encoders[name]))
        self.tunings.clear()

    def start_step(self, step: int, steps: int) -> None:
        """Let objectives and encoders do what is due at a step (from 0) of a training of `steps`."""
        for objective in self.objectives.values():
            cast(Objective, objective).start_step(step, steps)
        for name, tuning in self.tunings.items():
            if type(tuning).start_step is Tuning.start_step:  # it has no schedule
                continue
            encoder = cast(Encoder, self.encoders[name])
            before = [parameter.requires_grad for parameter in encoder.parameters()]
            tuning.start_step(encoder, step, steps)
            if before != [parameter.requires_grad for parameter in encoder.parameters()]:
                rest(encoder.train(self.training))

    def train(self, mode: bool = True) -> "Model":
        super().train(mode)
        for encoder in self.encoders.values():
            rest(encoder)
        return self

    def embed(self, batch: Batch) -> Embeddings:
        """Encode and align what is present; absent slots are zeros."""
        assert not batch.parts, "it has its inputs in micro-batches"
        pooled, tokens, mask = {}, {}, {}
        for name, present in batch.present.items():
            if name not in batch.inputs:
                pooled[name] = torch.zeros(len(present), self.width, device=present.device)
                continue
            aligned = self.align[name](self.encode(name, batch.inputs[name]))
            place = (present.cumsum(0) - 1).clamp(min=0)  # (b,) the n rows spread over b, without a host sync
            absent = ~present
            pooled[name] = aligned.pooled[place].masked_fill(absent.unsqueeze(-1), 0.0)
            if aligned.tokens is not None and self.fuser.reads_tokens:
                real = aligned.mask
                if real is None:
                    real = torch.ones(aligned.tokens.shape[:2], dtype=torch.bool, device=present.device)
                tokens[name] = aligned.tokens[place].masked_fill(absent[:, None, None], 0.0)
                mask[name] = real[place] & present.unsqueeze(-1)
        return Embeddings(pooled, batch.present, tokens, mask, batch.content, batch.source)

    def fuse(self, embeddings: Embeddings, shown: Mapping[str, Tensor]) -> Tensor:
        """Return one vector per row from the modalities that are present and shown, (b, w) fp32."""
        fused: Tensor = self.fuser(embeddings.show(dict(shown)))
        rows = len(embeddings.source)
        if fused.shape != (rows, self.width):
            raise PluginError(
                f"fuser ({self.origins['fuser']}) returned shape {tuple(fused.shape)}, "
                f"expected {(rows, self.width)}"
            )
        return fused.float()

    def count(self) -> dict[str, tuple[int, int]]:
        """Return parameters and trained ones per part: "encoders.image", "align.image", "fuser" ..."""
        counts: dict[str, tuple[int, int]] = {}
        for name, parameter in self.named_parameters():
            part = part_of(name)
            total, trained = counts.get(part, (0, 0))
            counts[part] = (total + parameter.numel(), trained + parameter.requires_grad * parameter.numel())
        return counts

    def targets(self) -> dict[str, Target]:
        """Return what the objectives read from rows. Raises RecipeError when two disagree about one."""
        merged: dict[str, Target] = {}
        for name, objective in self.objectives.items():
            assert isinstance(objective, Objective)
            for key, target in objective.targets.items():
                known = merged.setdefault(key, target)
                if (known.dtype, known.shape) != (target.dtype, target.shape):
                    raise RecipeError(
                        [
                            Problem(
                                f"objectives.{name}",
                                f"reads target {key!r} as {target.dtype} {target.shape}, another objective "
                                f"as {known.dtype} {known.shape}; give them targets of different names",
                            )
                        ]
                    )
                limits = [bound for bound in (known.below, target.below) if bound is not None]
                merged[key] = known._replace(below=min(limits, default=None))
        return merged

    def encode(self, name: str, inputs: Mapping[str, Tensor]) -> Encoding:
        """Return what an encoder gives, or gave, before it is aligned; tokens where the fuser reads them."""
        encoder = self.encoders[name]
        assert isinstance(encoder, Encoder)
        encoding = Encoding.of_inputs(inputs) or encoder(**inputs)
        self._check(name, encoding, len(next(iter(inputs.values()))), encoder.dim)
        return encoding if self.fuser.reads_tokens else Encoding(encoding.pooled)

    def _check(self, name: str, encoding: Encoding, rows: int, dim: int) -> None:
        """Raise PluginError, naming the plugin, for an encoding that is not what its encoder promises."""
        made = f"encoders.{name} ({self.origins[f'encoders.{name}']}) returned"
        if not isinstance(encoding, Encoding):
            raise PluginError(f"{made} a {type(encoding).__name__}, expected a fusion.Encoding")
        pooled, tokens, mask = encoding
        if pooled.shape != (rows, dim):
            raise PluginError(f"{made} pooled of shape {tuple(pooled.shape)}, expected {(rows, dim)}")
        if tokens is None:
            return
        if tokens.ndim != 3 or (len(tokens), tokens.shape[2]) != (rows, dim):
            raise PluginError(f"{made} tokens of shape {tuple(tokens.shape)}, expected ({rows}, t, {dim})")
        if mask is not None and (mask.shape != tokens.shape[:2] or mask.dtype != torch.bool):
            found = f"{mask.dtype} {tuple(mask.shape)}"
            raise PluginError(f"{made} a mask of {found}, expected torch.bool {tuple(tokens.shape[:2])}")
