"""Only biases learn."""

from fusion.encoder import Encoder
from fusion.tuning import Tuning


class Bitfit(Tuning):
    """The bias terms learn, and nothing else (Ben Zaken et al. 2022, BitFit, section 3)."""

    def prepare(self, encoder: Encoder) -> None:
        biases = [
            parameter
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad and name.rpartition(".")[2].endswith("bias")  # also `in_proj_bias`
        ]
        if not biases:
            raise ValueError("the encoder has no biases; use mode: full, lora or frozen")
        encoder.requires_grad_(False)
        for bias in biases:
            bias.requires_grad_(True)
