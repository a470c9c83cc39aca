"""The tower: the part of one of the library's models that reads one modality."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


def no_token(config: PretrainedConfig) -> int:
    """Return how many tokens come before the first patch or frame: none."""
    return 0


@dataclass(frozen=True)
class Tower:
    """How a model is taken apart, and which vector of it is taken when the recipe does not say.

    `head` are the modules that only the model's own vector needs: they are dropped when another pooling is
    chosen. `projection` are those of them that bring tokens to the width of that vector.
    """

    model: str = ""  # a class of transformers; none: the one that the library has for the configuration
    part: str = ""  # the attribute of a configuration of several towers that has this one's
    pooling: str = "mean"
    output: str = "pooler_output"  # the name of the model's own vector in what it returns
    width: str = "hidden_size"  # the setting with the width of that vector
    head: tuple[str, ...] = ("pooler",)
    projection: tuple[str, ...] = ()
    special: Callable[[PretrainedConfig], int] = no_token  # those before the first patch
    full: bool = False  # trained on texts of full length, whose padding is read, too

    def own(self, config: PretrainedConfig) -> PretrainedConfig:
        """Return the configuration of this tower alone."""
        if not self.part or not hasattr(config, self.part):
            return config
        part: PretrainedConfig = getattr(config, self.part)
        if "projection_dim" in part.to_dict():  # a CLIP has three; what it is built with is that of the whole
            part.projection_dim = config.projection_dim
        return part

    def choose(self, pooling: str, config: PretrainedConfig) -> str:
        """Return the pooling that is asked for. Raises ValueError for a class token that is not known."""
        chosen = self.pooling if pooling == "auto" else pooling
        if chosen == "cls" and not self.special(config):
            raise ValueError(f"pooling is 'cls', but no class token of {type(config).__name__} is known")
        return chosen

    def dim(self, config: PretrainedConfig, own: bool) -> int:
        """Return the width of the vectors."""
        if own:
            return int(getattr(config, self.width))
        settings = config.to_dict()
        if settings.get("add_adapter"):  # of wav2vec2
            return int(config.output_hidden_size)
        sizes = settings.get("hidden_sizes")  # of a convolutional net, by stage
        return int(sizes[-1] if sizes else config.hidden_size)

    def trim(self, model: PreTrainedModel) -> None:
        """Take out of the model what only its own vector needs."""
        present = dict(model.named_modules())
        for name in self.head:
            if name in present:
                model.set_submodule(name, nn.Identity())

    def tokens(self, model: PreTrainedModel, output: ModelOutput, own: bool) -> Tensor:
        """Return the tokens (n, t, d), as wide as the model's own vector where that is the one taken."""
        tokens: Tensor = output["last_hidden_state"]
        if tokens.ndim == 4:  # (n, d, height, width)
            tokens = tokens.flatten(2).transpose(1, 2)
        for name in self.projection if own else ():
            tokens = model.get_submodule(name)(tokens)
        return tokens
