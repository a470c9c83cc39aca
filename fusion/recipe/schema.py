"""The recipe: a whole experiment as data, from YAML or Python."""

import json
from itertools import combinations, permutations
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic import ValidatorFunctionWrapHandler as Check

from fusion.errors import Problem, RecipeError
from fusion.recipe.picks import (
    AdversarialPick,
    AugmentationPick,
    EncoderPick,
    Fraction,
    FuserPick,
    ObjectivePick,
    Pick,
    PriorPick,
    Section,
    SourcePick,
    StressedBy,
)
from fusion.recipe.problems import held_problems, reference_problems, schema_problems

Name = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]  # becomes a part of metric keys, and of paths
Positive = Annotated[int, Field(ge=1)]


class Train(Section):
    """The optimisation: AdamW, linear warm-up, cosine decay to zero. `batch` counts rows over all ranks.

    Of them each rank encodes `micro_batch` at once. A process may take `memory_gb` of its device. With
    `adversarial` the rows of a step are those that an attack makes of them. `track` names who follows it.
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
    adversarial: AdversarialPick | None = None
    track: list[Pick] = Field(default_factory=list)

    @field_validator("track", mode="before")
    @classmethod
    def _as_picks(cls, track: Any) -> Any:
        given = track if isinstance(track, list) else [track]
        return [{"name": one} if isinstance(one, str) else one for one in given]

    @field_validator("track")
    @classmethod
    def _have_each_once(cls, track: list[Pick]) -> list[Pick]:
        names = [pick.name for pick in track]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} stands twice; give each logger once")
        return track

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
    """What is measured on which rows when training ends, and by `fusion evaluate`.

    On the rows of `calibrate`, held back, temperatures are fitted; those of `foreign` are of another kind.
    """

    sources: dict[Name, Pick] = Field(default_factory=dict)
    retrieval: Literal["all"] | list[tuple[str, str]] = "all"
    zero_shot: ZeroShot | None = None
    subsets: Literal["all"] | list[Annotated[list[str], Field(min_length=1)]] = "all"
    target: str = "label"
    attack: StressedBy = StressedBy()
    calibrate: dict[Name, Pick] = Field(default_factory=dict)
    foreign: dict[Name, Pick] = Field(default_factory=dict)
    batch: Positive = 256
    tokens: Positive = 16_384
    limit: Positive | None = None


class Best(Section):
    """By what the best checkpoint is kept and becomes the run: a key of metrics.json, measured on these rows.

    "-KEY" says that less is better.
    """

    by: str | None = None
    sources: dict[Name, Pick] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _have_rows(self) -> "Best":
        if (self.by is None) != (not self.sources):
            raise ValueError("give both `by`, a key of metrics.json, and `sources`, rows that are held back")
        return self


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
    best: Best = Best()
    study: Study = Study()

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise RecipeError(schema_problems(error, type(self)) + reference_problems(data)) from None
        problems = reference_problems(self.model_dump()) + held_problems(self.model_dump())
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
