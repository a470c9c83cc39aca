"""Everything learns."""

from fusion.encoder import Encoder
from fusion.tuning import Tuning


class Full(Tuning):
    """All parameters learn, but for those that the encoder itself keeps from it."""

    def prepare(self, encoder: Encoder) -> None:
        """Leave everything as the encoder has it."""
