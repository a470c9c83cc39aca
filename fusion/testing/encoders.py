"""Check an encoder and its processor."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from fusion.encoder import Encoder, Encoding, Processor
from fusion.errors import DataError, PluginError
from fusion.recompute import recompute
from fusion.testing.assets import rebuilt
from fusion.testing.devices import META, stays
from fusion.testing.expect import (
    TIMES,
    TOLERANCE,
    build_seeded,
    distance,
    expect,
    move_weights,
    reached,
    same_bits,
    seed,
    unchanged,
)
from fusion.testing.forms import expect_forms
from fusion.testing.pickles import travel
from fusion.testing.signals import expect_signals
from fusion.testing.sources import same as same_samples


def check_encoder(build: Callable[..., Encoder], samples: Sequence[Any], **options: Any) -> list[str]:
    """Check the encoder that `build(**options)` returns; return what passed.

    `samples` are two or more raw ones as a source gives them. Let their lengths differ: padding that
    leaks into the result is found in no other way.
    """
    return list(_checks(build, samples, options))


def _checks(build: Callable[..., Encoder], samples: Sequence[Any], options: dict[str, Any]) -> Iterator[str]:
    expect(len(samples) > 1, f"{len(samples)} samples are given", "two or more, of different lengths")
    encoder: Encoder = build_seeded(build, Encoder, 0, **options).eval()
    dim, processor = getattr(encoder, "dim", None), getattr(encoder, "processor", None)
    expect(isinstance(dim, int) and dim > 0, f"dim is {dim!r}", "the width of its vectors, a whole number")
    expect(isinstance(processor, Processor), f"processor is {processor!r}", "a fusion.Processor")
    assert isinstance(processor, Processor)
    yield "dim and processor are set"

    pickled = travel("processor", processor)
    yield "the processor can be pickled and holds no weights"

    before = deepcopy(list(samples))
    inputs = _inputs(processor, samples)
    expect(
        same_samples(list(samples), before), "decode changes the sample that it is given", "it left as it is"
    )
    expect(bool(inputs), "collate gave nothing", "the keyword arguments of forward")
    for name, part in inputs.items():
        expect(isinstance(part, Tensor), f"collate gave {name!r}, a {type(part).__name__}", "tensors")
    name, first = next(iter(inputs.items()))
    expect(
        first.shape[:1] == (len(samples),),
        f"collate gave {name!r}, its first, of shape {tuple(first.shape)} for {len(samples)} samples",
        f"({len(samples)}, ...)",
    )
    counts = [processor.count_tokens(processor.decode(sample)) for sample in samples]
    whole = all(isinstance(count, int) and count > 0 for count in counts)
    expect(whole, f"count_tokens gave {counts}", "whole numbers from 1 on")
    same = all(same_bits(inputs, _inputs(processor, samples)) for _ in range(TIMES))
    expect(same, "decode gives other numbers each time", "the same bits for the same sample")
    copy: Processor = pickle.loads(pickled)  # pickled above  # nosec B301
    copy.decode(samples[-1])  # as in a loader worker, which begins elsewhere
    expect(
        same_bits(inputs, _inputs(copy, samples)),
        "the pickled processor gives other numbers, once it has decoded another sample",
        "those of the processor that was pickled; keep nothing from one sample for the next",
    )
    yield f"decode gives the same bits {TIMES} times, after pickling too, and leaves samples as they are"

    _refuses(processor)
    yield "decode raises DataError for a sample that cannot be read"

    expect_forms(processor, samples)
    yield f"strangers may give {' or '.join(processor.takes) or 'nothing'}"

    with torch.no_grad():
        with unchanged("forward", inputs):
            encoding = encoder(**inputs)
        _expect_shape(encoding, len(samples), encoder.dim)
        yield f"forward gives an Encoding of shape ({len(samples)}, {encoder.dim}) and finite numbers"

        same = all(same_bits(_parts(encoding), _parts(encoder(**inputs))) for _ in range(TIMES))
        expect(
            same, "forward in evaluation gives other numbers each time", "the same bits for the same input"
        )
        yield f"forward in evaluation gives the same bits {TIMES} times"

        for row, sample in enumerate(samples):
            _expect_equal_rows(encoding, row, encoder(**_inputs(processor, [sample])))
        yield f"a batch equals its rows one by one to {TOLERANCE:.0e}"

    if type(processor).signals is not Processor.signals:
        expect_signals(encoder, inputs, len(samples))
        yield "its signals are inputs of numbers, and the gradient reaches them"

    _backward(encoder.train(), inputs)
    yield "the gradient reaches every trainable parameter"

    far = _recomputed(encoder, inputs)
    expect(
        far <= TOLERANCE,
        f"the gradient differs by {far:.1e} when forward runs a second time, in the backward",
        "the same: draw random numbers from torch, keep nothing from one call for the next",
    )
    yield "the gradient is the same when the blocks are computed again in the backward"

    if type(encoder).layer_groups is not Encoder.layer_groups:
        grouped = [id(parameter) for group in encoder.layer_groups() for parameter in group]
        once = sorted(grouped) == sorted(id(parameter) for parameter in encoder.parameters())
        expect(once, "layer_groups leaves a parameter out, or has one twice", "every parameter once")
        yield "layer_groups has every parameter once"

    other: Encoder = build_seeded(build, Encoder, 1, **options).eval()
    move_weights(encoder.eval(), other)
    with torch.no_grad():
        other(**_inputs(processor, samples[-1:]))  # a run that is loaded begins with other rows
    _expect_equal(encoder, other, inputs, "another build with its saved weights")
    yield "saved weights give another build the same vectors"

    moved: Encoder = build_seeded(build, Encoder, 0, **options).eval()
    if stays(lambda: moved.to(META)(**{name: part.to(META) for name, part in inputs.items()}).pooled):
        yield "forward stays on the device of its inputs"

    if type(encoder).save_assets is not Encoder.save_assets:
        other = rebuilt(encoder, build, options)
        same = same_bits(inputs, _inputs(other.processor, samples))
        expect(same, "built from its assets, its processor gives other numbers", "the same bits")
        _expect_equal(encoder, other, inputs, "built from its assets, with its saved weights, it")
        yield "its assets and saved weights give the same vectors"


def _inputs(processor: Processor, samples: Sequence[Any]) -> dict[str, Tensor]:
    return processor.collate([processor.decode(sample) for sample in samples])


def _refuses(processor: Processor) -> None:
    try:
        processor.decode(object())
    except DataError:
        return
    except Exception as error:
        raise PluginError(
            f"decode of a bare object() raised {error!r}; expected fusion.DataError: a bad row is then "
            "skipped and counted, any other error ends the training"
        ) from error
    raise PluginError("decode took a bare object(); expected fusion.DataError for what it cannot read")


def _expect_shape(encoding: Any, n: int, dim: int) -> None:
    expect(isinstance(encoding, Encoding), f"forward gave a {type(encoding).__name__}", "a fusion.Encoding")
    pooled, tokens, mask = encoding
    shape = tuple(pooled.shape)
    expect(shape == (n, dim), f"pooled has shape {shape}", f"{(n, dim)}: samples, dim")
    expect(pooled.is_floating_point(), f"pooled is {pooled.dtype}", "floats")
    expect(pooled.isfinite().all(), "pooled holds NaN or infinity", "finite numbers")
    if tokens is None:
        expect(mask is None, "a mask came without tokens", "both or none")
        return
    shape = tuple(tokens.shape)
    fits = tokens.ndim == 3 and (shape[0], shape[2]) == (n, dim)
    expect(fits, f"tokens have shape {shape}", f"({n}, t, {dim}): samples, tokens, dim")
    if mask is not None:
        fits = mask.dtype == torch.bool and mask.shape == tokens.shape[:2]
        expect(fits, f"mask is {mask.dtype} of shape {tuple(mask.shape)}", f"bool of shape {shape[:2]}")
    expect(_real(encoding, slice(None)).isfinite().all(), "tokens hold NaN or infinity", "finite numbers")


def _expect_equal_rows(batch: Encoding, row: int, alone: Encoding) -> None:
    far = distance(batch.pooled[row], alone.pooled[0])
    expect(
        far <= TOLERANCE,
        f"sample {row} differs by {far:.1e} when it is encoded alone",
        f"at most {TOLERANCE:.0e}; does padding, or another row of the batch, leak into the result?",
    )
    if batch.tokens is not None:
        in_batch, by_itself = _real(batch, row), _real(alone, 0)
        far = distance(in_batch, by_itself)
        expect(
            far <= TOLERANCE,
            f"sample {row} has tokens of shape {tuple(in_batch.shape)} in a batch and of "
            f"{tuple(by_itself.shape)} alone, which differ by {far:.1e}",
            f"at most {TOLERANCE:.0e}; mask is True where a token is real and False where it is padding",
        )


def _expect_equal(encoder: Encoder, other: Encoder, inputs: dict[str, Tensor], which: str) -> None:
    with torch.no_grad():
        far = distance(other(**inputs).pooled, encoder(**inputs).pooled)
    expect(
        far <= TOLERANCE,
        f"{which} gives vectors that differ by {far:.1e}",
        "all that training or chance decide to be in state_dict",
    )


def _real(encoding: Encoding, row: int | slice) -> Tensor:
    assert encoding.tokens is not None
    return encoding.tokens[row] if encoding.mask is None else encoding.tokens[row][encoding.mask[row]]


def _parts(encoding: Encoding) -> dict[str, Tensor | None]:
    return encoding._asdict()


def _recomputed(encoder: Encoder, inputs: dict[str, Tensor]) -> float:
    """Return by how much the gradient changes when the blocks are computed again."""
    before = {name: part.grad for name, part in encoder.named_parameters() if part.grad is not None}
    encoder.zero_grad()
    recompute(encoder)
    _backward(encoder, inputs)
    after = {name: part.grad for name, part in encoder.named_parameters() if part.grad is not None}
    return max((distance(after[name], before[name]) for name in before), default=0.0)


def _backward(encoder: Encoder, inputs: dict[str, Tensor]) -> None:
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        return
    with seed(0):
        encoding = encoder(**inputs)
        outputs = [encoding.pooled] + ([] if encoding.tokens is None else [_real(encoding, slice(None))])
        # random weights: the plain sum of what a LayerNorm gives is constant
        loss = torch.stack([(part * torch.randn_like(part)).sum() for part in outputs]).sum()
    expect(encoding.pooled.requires_grad, "pooled has no gradient", "one that reaches the parameters")
    loss.backward()  # type: ignore[no-untyped-call]
    reached(encoder)
