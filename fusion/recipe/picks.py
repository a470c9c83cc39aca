"""What a recipe picks: components by name, each with its options."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]


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
    """An encoder for the modality under which it stands.

    `cache` keeps what it gives, in fp32 or fp16; None: where it does not learn, on samples that do not vary.
    """

    tune: Tune = Tune()
    cache: bool | Literal["fp16"] | None = None

    @field_validator("cache", mode="before")
    @classmethod
    def _be_one_of(cls, cache: Any) -> Any:
        if not (cache is None or isinstance(cache, bool) or cache == "fp16"):
            raise ValueError("give true (fp32), fp16, false, or null")
        return cache


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


class AttackPick(Pick):
    """An attack, and by what distance it may move a sample: of the largest number, or of all together."""

    name: str = "apgd"
    norm: Literal["linf", "l2"] = "linf"


class StressedBy(AttackPick):
    """The attack of `--stress attack`: tasks are attacked by their own `loss`, or by the ratio `dlr`."""

    loss: Literal["loss", "dlr"] = "loss"


class AdversarialPick(AttackPick):
    """The attack that a training learns to withstand: by modality, how far it may go, in a share of rows."""

    name: str = "pgd"
    radius: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    share: float = Field(default=1.0, gt=0, le=1)


class PriorPick(Pick):
    """What pulls the parameters that learn back, beside the losses."""
