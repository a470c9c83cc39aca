"""Nothing learns."""

from fusion.encoder import Encoder
from fusion.tuning import Tuning


class Frozen(Tuning):
    """The encoder stays as it is; its projection into the shared space learns, and all that follows."""

    def prepare(self, encoder: Encoder) -> None:
        encoder.requires_grad_(False)
