"""The recipe: a whole experiment as data, from YAML or Python."""

import json
from itertools import combinations, permutations
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic import ValidatorFunctionWrapHandler as Check

from fusion.errors import Problem, RecipeError
from fusion.recipe_problems import reference_problems, schema_problems

Fraction = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$")]  # becomes a part of metric keys
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a recipe that has exactly these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Choice(BaseModel):
    """A component and its options, which are the keys that the core does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Pick(Choice):
    """A component picked by name."""

    name: str


class SourcePick(Pick):
    """A source; `weight` is its share of the rows, relative to the other sources.

    `without` names keys of its rows, modalities or targets, that the training is not to know.
    """

    weight: float = Field(default=1.0, gt=0)
    without: list[str] = Field(default_factory=list)


class Tune(Choice):
    """How an encoder learns: `mode` picks a tuning; the learning rate is `lr_scale` times `train.lr`.

    It shrinks by `layer_decay` with every layer from the output to the input. Without `align` the
    projection to the shared space does not learn. With `recompute` the backward computes the encoder's
    blocks again: less memory, more time.
    """

    mode: str = "full"
    align: bool = True
    lr_scale: float = Field(default=1.0, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    recompute: bool = False

    @property
    def name(self) -> str:
        return self.mode


class EncoderPick(Pick):
    """An encoder for the modality under which it stands; `cache` keeps what it gives, None where it can."""

    tune: Tune = Tune()
    cache: bool | Literal["fp16"] | None = None


class AugmentationPick(Pick):
    """An augmentation of the modality under which it stands; a row gets it with this probability."""

    chance: float = Field(default=1.0, gt=0, le=1)


class FuserPick(Pick):
    """A fuser; in training each present modality is hidden from it with this probability, never all."""

    name: str = "mean"
    modality_dropout: Fraction = 0.0


class ObjectivePick(Pick):
    """An objective; its loss enters the sum with this weight."""

    weight: float = Field(default=1.0, ge=0)


class PriorPick(Pick):
    """What pulls the parameters that learn back, beside the losses."""


class Train(Section):
    """The optimisation: AdamW, linear warm-up, cosine decay to zero. `batch` counts rows over all ranks.

    Of them each rank encodes `micro_batch` at once. A process may take `memory_gb` of its device.
    """

    steps: Positive
    batch: Positive | Literal["auto"] = 128
    micro_batch: Positive | None = None
    memory_gb: float | None = Field(default=None, gt=0)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: Fraction = 0.1
    clip: float | None = Field(default=1.0, gt=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)
    workers: int = Field(default=0, ge=0)
    max_bad: int = Field(default=100, ge=0)
    checkpoint_every: Positive = 100
    keep: Positive = 2
    log_every: Positive = 10

    @field_validator("batch", mode="wrap")
    @classmethod
    def _number_or_auto(cls, batch: Any, check: Check) -> Any:
        try:
            return check(batch)
        except ValidationError:
            raise ValueError("a batch is a whole number of rows from 1, or 'auto'") from None

    @property
    def rows(self) -> int:
        """`batch` as a number. Raises RecipeError while that has yet to be found."""
        if self.batch == "auto":
            message = "'auto' is found by training only; give a number here, such as train.batch=128"
            raise RecipeError([Problem("train.batch", message)])
        return self.batch


class ZeroShot(Section):
    """Classify by the distance to sentences: each of the recipe's classes put into each template."""

    modality: str
    templates: list[str] = Field(min_length=1)

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if "{}" not in template:
                raise ValueError(f"template {template!r} has no place for the class; write it as {{}}")
        return templates


class Evaluate(Section):
    """What is measured on which rows when training ends, and by `fusion evaluate`."""

    sources: dict[Name, Pick] = Field(default_factory=dict)
    retrieval: Literal["all"] | list[tuple[str, str]] = "all"
    zero_shot: ZeroShot | None = None
    subsets: Literal["all"] | list[Annotated[list[str], Field(min_length=1)]] = "all"
    target: str = "label"
    batch: Positive = 256
    tokens: Positive = 16_384
    limit: Positive | None = None


class Study(Section):
    """The versions of a recipe that `fusion study` trains and compares; every other command ignores them.

    A version is a list of overrides, or a mapping of values by dotted path; in it `@NAME` stands for the run
    folder of another version.
    """

    versions: dict[Name, list[str]] = Field(default_factory=dict)
    over: dict[str, list[Any]] = Field(default_factory=dict)  # values by dotted path, all with all
    baseline: str | None = None
    measure: list[str] = Field(default_factory=list)  # keys of metrics.json; the first one decides
    seeds: Positive = 3

    @field_validator("versions", mode="before")
    @classmethod
    def _as_overrides(cls, versions: Any) -> Any:
        if not isinstance(versions, dict):
            return versions
        return {
            name: [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in given.items()]
            if isinstance(given, dict)
            else given
            for name, given in versions.items()
        }

    @field_validator("over")
    @classmethod
    def _have_values(cls, over: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for path, values in over.items():
            if not values:
                raise ValueError(f"{path} has no values")
        return over


class Recipe(Section):
    """Sources, encoders, fuser and objectives by name, and how to train and evaluate them."""

    name: str = Field(default="run", pattern=r"^\w[\w.-]*$")  # also that of a folder
    init: str | None = None
    teacher: str | None = None
    sources: dict[Name, SourcePick] = Field(min_length=1)
    encoders: dict[str, EncoderPick] = Field(min_length=1)
    augment: dict[str, list[AugmentationPick]] = Field(default_factory=dict)
    width: Positive = 256
    fuser: FuserPick = FuserPick()
    objectives: dict[Name, ObjectivePick] = Field(min_length=1)
    classes: list[str] = Field(default_factory=list)
    prior: PriorPick | None = None
    train: Train
    evaluate: Evaluate = Evaluate()
    study: Study = Study()

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise RecipeError(schema_problems(error, type(self)) + reference_problems(data)) from None
        problems = reference_problems(self.model_dump())
        if problems:
            raise RecipeError(problems)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in recipe order; every other order in the project follows this one."""
        return tuple(self.encoders)

    @property
    def earlier(self) -> list[str]:
        """What the training takes from: the runs or files that `init` and `teacher` name."""
        return [path for path in (self.init, self.teacher) if path is not None]

    def retrieval_pairs(self) -> list[tuple[str, str]]:
        """The ordered pairs of modalities for which retrieval is measured."""
        chosen = self.evaluate.retrieval
        return list(permutations(self.modalities, 2)) if chosen == "all" else list(chosen)

    def subsets(self) -> list[tuple[str, ...]]:
        """The subsets of modalities for which tasks are measured, singles first, each in recipe order."""
        chosen = self.evaluate.subsets
        if chosen == "all":
            sizes = range(1, len(self.modalities) + 1)
            return [subset for size in sizes for subset in combinations(self.modalities, size)]
        return [tuple(name for name in self.modalities if name in subset) for subset in chosen]
