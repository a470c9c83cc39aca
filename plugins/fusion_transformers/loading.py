"""Build a tower: with pretrained weights, with random ones, or empty for weights that are loaded later."""

from typing import NamedTuple

import transformers
from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from fusion import shared
from fusion_transformers.configuration import Described
from fusion_transformers.tower import Tower
from fusion_transformers.weights import Checkpoint, quiet

NAMED = 3  # of the weights that are missing


class Loaded(NamedTuple):
    """A model, and where its weights came from."""

    model: PreTrainedModel
    origin: dict[str, str]


def class_of(
    described: Described, tower: Tower, config: PretrainedConfig, *reads: str
) -> type[PreTrainedModel]:
    """Return the class of a model. Raises ValueError for one that does not read what the encoder can give."""
    kind = _class(described, tower, config)
    if kind.main_input_name not in reads:
        raise ValueError(
            f"{kind.__name__} reads {kind.main_input_name}, this encoder gives {' or '.join(reads)}; "
            "take hf-text, hf-image or hf-audio, whichever it is a model for"
        )
    return kind


def load(
    described: Described, kind: type[PreTrainedModel], tower: Tower, config: PretrainedConfig, own: bool
) -> Loaded:
    """Build a model of this class, without the parts that are not used.

    `own` says whether its own pooled vector is taken. Raises ValueError when it has none, or when the weights
    do not fit it.
    """
    missing: set[str] = set()
    origin: dict[str, str] = {}
    if described.weights == "saved":
        with no_init_weights(), quiet():
            whole = kind(config)
    elif described.weights == "random":
        with quiet():
            whole = kind(config)
    else:
        repository = described.repository
        assert repository is not None
        checkpoint = shared(("fusion_transformers", repository.folder), lambda: Checkpoint(repository))
        whole, missing = checkpoint.build(kind, config)
        origin = {"model": repository.name, "sha256": checkpoint.sha256}
        if repository.revision is not None:
            origin["revision"] = repository.revision
    named = whole.state_dict(keep_vars=True)
    model: PreTrainedModel = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    if not own:
        tower.trim(model)
    elif tower.head and not {name for name, _ in model.named_modules()} & set(tower.head):
        raise ValueError(f"pooling is 'output', but {kind.__name__} gives no pooled vector of its own")
    used = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    _expect_complete(
        described, kind, sorted(name for name in missing & named.keys() if id(named[name]) in used)
    )
    return Loaded(model, origin)


def _class(described: Described, tower: Tower, config: PretrainedConfig) -> type[PreTrainedModel]:
    if described.code is not None:
        return described.code.find("AutoModel", config.to_dict())
    if tower.model:
        known: type[PreTrainedModel] = getattr(transformers, tower.model)
        return known
    for mapping in (MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING):
        if type(config) in mapping:
            found = mapping[type(config)]
            kind: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
            return kind
    raise ValueError(f"transformers {transformers.__version__} has no model for {type(config).__name__}")


def _expect_complete(described: Described, kind: type[PreTrainedModel], lacking: list[str]) -> None:
    """Raise ValueError when weights that are used would stay random."""
    if lacking:
        assert described.repository is not None
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        raise ValueError(
            f"the weights of {described.repository.name!r} lack {', '.join(lacking[:NAMED])}{more}, which "
            f"{kind.__name__} needs: another kind of model, or one saved without what `pooling` asks for"
        )
