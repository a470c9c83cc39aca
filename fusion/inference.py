"""Use a run: encode, predict and classify zero-shot, with inputs as people have them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch, Row
from fusion.data.collate import Collator, Sample
from fusion.data.order import Slots
from fusion.errors import DataError, PluginError, RunError, unknown
from fusion.evaluation.temperature import warmed
from fusion.evaluation.zero_shot import prototypes
from fusion.explain.explain import Explanation, explain
from fusion.explain.nearest import neighbours
from fusion.hub.fetch import opened
from fusion.manifest import made_with
from fusion.model import Model
from fusion.objective import Prediction
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import rebuild
from fusion.signature import expect_trusted

Rows = Row | Sequence[Row]


class Encoded(NamedTuple):
    """r rows in the shared space; `vectors` hold zeros where `present` is False."""

    vectors: dict[str, Tensor]  # (r, w), unit length
    present: dict[str, Tensor]  # (r,) bool
    fused: Tensor  # (r, w)


class Answer(NamedTuple):
    """The classes of r rows, most probable first where they are listed."""

    labels: list[str | None]  # r names, None for a row without the modality
    probabilities: Tensor  # (r, classes), NaN for such a row


class Predictor:
    """A trained model with the recipe that it was trained by.

    Every method takes one row or a sequence of rows, and returns r rows either way (r = 1 for one). A
    row is a dict from modality to sample: a PIL image, path, bytes or array; a pair (waveform, rate),
    path or bytes; a str; modalities may be absent, but not all. Raises DataError for a row that cannot be
    read, and names it. `temperatures`, by "subset/task", are those of the probabilities of rows that have
    just these modalities.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        batch: int = 64,
        temperatures: Mapping[str, float] | None = None,
        registry: Registry | None = None,
        weights: str | None = None,
    ) -> None:
        self.model = model.eval()
        self.recipe = recipe
        self.batch = batch
        self.temperatures = dict(temperatures or {})
        self.registry = registry  # that builds the sources of the recipe
        self.weights = weights  # their SHA-256
        self._collator = Collator(model.processors, {})

    def encode(self, rows: Rows) -> Encoded:
        """Return the vectors of every modality and the fused ones, on the CPU."""
        parts = [self.encode_samples(samples) for samples in self._decoded(rows)]
        return Encoded(
            {name: torch.cat([part.vectors[name] for part in parts]) for name in self.model.modalities},
            {name: torch.cat([part.present[name] for part in parts]) for name in self.model.modalities},
            torch.cat([part.fused for part in parts]),
        )

    def predict(self, rows: Rows) -> dict[str, Prediction]:
        """Return what each task of the recipe answers, by its name; values and scores of r rows.

        Probabilities are at the temperature of what a row has, where the run has one.
        """
        self.expect_task()
        return self.answer(self.encode(rows))

    @torch.no_grad()
    def encode_samples(self, samples: Sequence[Sample]) -> Encoded:
        """Return the vectors of rows that `decode` has read, all in one forward, on the CPU."""
        batch = self._batch(samples)
        embeddings = self.model.embed(batch)
        fused = self.model.fuse(embeddings, batch.shown)
        return send_to_device(Encoded(embeddings.pooled, batch.present, fused), "cpu")  # type: ignore[no-any-return]

    @torch.no_grad()
    def answer(self, encoded: Encoded) -> dict[str, Prediction]:
        """Return what each task answers for rows that are encoded, as `predict` does."""
        fused = encoded.fused.to(self._device)
        answers = {name: task.predict(fused) for name, task in self.model.tasks.items()}
        return {
            name: Prediction(value.cpu(), warmed(score.cpu(), name, encoded.present, self.temperatures))
            for name, (value, score) in answers.items()
        }

    def label(self, task: str, value: Any, score: Any) -> str | None:
        """Return the recipe's name for the class that a task answers; None where it names none.

        `value` and `score` are those of one row, as plain numbers.
        """
        named = self.recipe.classes
        about = self.model.tasks[task].target == self.recipe.evaluate.target
        of_names = about and isinstance(value, int) and isinstance(score, list) and len(score) == len(named)
        return named[value] if of_names else None

    def decode(self, row: Row) -> Sample:
        """Return one row as the encoders read it. Raises DataError, and names the modality."""
        known = self.model.modalities
        if not isinstance(row, Mapping):
            raise DataError(f"a row is a dict such as {{{known[0]!r}: ...}}, not {type(row).__name__}")
        for key in row:
            if key not in known:
                raise DataError(unknown("modality", str(key), known))
        sample = self._collator.decode(row)
        if not sample.decoded:
            raise DataError(f"nothing is in it; give any of {', '.join(known)}")
        return sample

    @torch.no_grad()
    def zero_shot(
        self, rows: Rows, classes: Sequence[str], templates: Sequence[str] = ("{}",), modality: str = "text"
    ) -> dict[str, Answer]:
        """Classify each modality of the rows by its distance to sentences that name the classes.

        Each class is put into each template and read by the encoder of `modality`. The probabilities are
        the softmax over cosine similarities at a temperature of 0.01, as CLIP (Radford 2021) ends up with.
        """
        if modality not in self.model.modalities:
            raise DataError(unknown("modality", modality, self.model.modalities))
        if isinstance(classes, str) or not classes:
            raise DataError(f"classes are {classes!r}; give their names in a list, such as ['cat', 'dog']")
        if isinstance(templates, str) or not templates or not all("{}" in form for form in templates):
            raise DataError(f"templates are {templates!r}; give a list, each with {{}} where the class goes")
        encoded = self.encode(rows)
        named = prototypes(self.model, modality, classes, templates).cpu()
        answers = {}
        for name, vectors in encoded.vectors.items():
            present = encoded.present[name]
            if name != modality and bool(present.any()):
                probabilities = (vectors @ named.T / 0.01).softmax(dim=1)
                best = zip(probabilities.argmax(dim=1).tolist(), present.tolist(), strict=True)
                answers[name] = Answer(
                    [classes[index] if known else None for index, known in best],
                    probabilities.masked_fill(~present[:, None], float("nan")),
                )
        return answers

    def explain(
        self,
        row: Row,
        *,
        attribute: bool = False,
        nearest: int = 0,
        source: str | None = None,
        embedded: str | Path | None = None,
    ) -> Explanation:
        """Return what the answers for one row rest on: what each modality contributes, by task.

        Probabilities are at the temperature of what is shown of the row, as in `predict`.
        With `attribute`, also the parts of each modality's input: that takes captum, and for each task 64 or
        320 runs of its encoder with their gradient. With `nearest`, also so many rows of the training, or of
        one `source` of the recipe, whose vectors lie nearest: that encodes all of them, unless `embedded` is
        what `fusion embed` wrote. Raises RunError, DataError and PluginError.
        """
        self.expect_task()
        sample = self.decode(row)
        found, vectors = explain(self.model, self._batch([sample]), sample, attribute, self.temperatures)
        if nearest:
            registry, place = self.registry or Registry(), None if embedded is None else Path(embedded)
            near = neighbours(
                self.model, self.recipe, registry, vectors, nearest, source, place, self.weights
            )
            found = found._replace(nearest=near)
        return found

    def expect_task(self) -> None:
        """Raise RunError where the run has no task that predicts."""
        if not self.model.tasks:
            raise RunError(
                f"the run {self.recipe.name!r} has no task that predicts; train with one, such as classify"
            )

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _batch(self, samples: Sequence[Sample]) -> Batch:
        return send_to_device(self._collator.stack(samples, Slots.unnumbered(len(samples))), self._device)  # type: ignore[no-any-return]

    def _decoded(self, rows: Rows) -> Iterator[list[Sample]]:
        given: list[Row] = [rows] if isinstance(rows, Mapping) else list(rows)
        if not given:
            raise DataError("no rows were given; pass one dict or several")
        for start in range(0, len(given), self.batch):
            samples = []
            for number, row in enumerate(given[start : start + self.batch], start):
                try:
                    samples.append(self.decode(row))
                except DataError as error:
                    place = "" if isinstance(rows, Mapping) else f"row {number}: "
                    raise DataError(f"{place}{error}") from error
            yield samples


def load(
    run: str | Path | Run,
    device: str | torch.device | None = None,
    registry: Registry | None = None,
    require_signature: str | Path | None = None,
) -> Predictor:
    """Return the model of a finished run: a folder, or "org/name@revision" of the hub; on a GPU if possible.

    `require_signature` is the file of a public key by which the run has to be signed; without it, that which
    the environment variable FUSION_REQUIRE_SIGNATURE names, if it does.

    Raises RunError when the folder is not a finished run, its files are not those that were written, or the
    signature is missing or another's, and PluginError when a plugin that it was trained with is missing.
    """
    run = opened(run)
    record = run.manifest
    expect_trusted(run.folder, record, require_signature)
    registry = registry or Registry()
    try:
        model = rebuild(run, registry)
    except PluginError as error:
        used = made_with(record["plugins"], registry.origins)
        raise PluginError(f"{error}\n  {run.folder} was trained with these plugins: {used}") from error
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    held = run.calibration_file.name
    return Predictor(
        model.to(chosen),
        run.recipe,
        temperatures=run.read_json(held) if held in record["files"] else {},
        registry=registry,
        weights=record["files"][run.model_file.name],
    )
