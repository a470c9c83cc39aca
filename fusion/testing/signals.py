"""Check what a processor says of raw samples in the inputs of its encoder."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fusion.encoder import Encoder
from fusion.testing.expect import expect


def expect_signals(encoder: Encoder, inputs: Mapping[str, Tensor], rows: int) -> None:
    """Expect signals to be inputs that can be moved, (rows, ...) each, which the gradient reaches."""
    for name, signal in encoder.processor.signals(inputs).items():
        part = inputs.get(name)
        found = "no input of it" if part is None else f"{part.dtype} of shape {tuple(part.shape)}"
        expect(
            part is not None and part.is_floating_point() and len(part) == rows,
            f"signals names {name!r}, which is {found}",
            f"an input of floating point numbers, ({rows}, ...)",
        )
        assert part is not None
        expect(
            signal.low < signal.high,
            f"the signal {name!r} goes from {signal.low} to {signal.high}",
            "the range of raw samples",
        )
        leaf = part.clone().requires_grad_()
        pooled = encoder(**{**inputs, name: leaf}).pooled.square().sum()  # a sum may be that of a LayerNorm
        slope = None
        if pooled.requires_grad:  # by hand, as what a backward leaves in parameters would be counted later
            [slope] = torch.autograd.grad(pooled, [leaf], allow_unused=True)
        expect(
            slope is not None and bool(slope.isfinite().all()) and bool(slope.any()),
            f"the gradient does not reach the signal {name!r}, or is not finite",
            "an encoder that can be differentiated by it",
        )
