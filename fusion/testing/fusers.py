"""Check a fuser."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser
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
from fusion.testing.trial import EVERYTHING, GARBAGE, MIXED, MODALITIES, WIDTH, moved, one_row, trial


class _Outcome(NamedTuple):
    fused: Tensor  # (b, w)
    gradients: dict[str, Tensor | None]  # of parameters, pooled vectors and tokens


def check_fuser(build: Callable[..., Fuser], **options: Any) -> list[str]:
    """Check the fuser that `build(modalities, width, **options)` returns; return what passed."""
    return list(_checks(build, options))


def _checks(build: Callable[..., Fuser], options: dict[str, Any]) -> Iterator[str]:
    fuser: Fuser = build_seeded(build, Fuser, 0, MODALITIES, WIDTH, **options)
    for tokens in (False, True):
        having = "with tokens" if tokens else "without tokens"
        clean = _run(fuser, trial(MIXED, tokens))
        _expect_shape(clean.fused, having)
        again = torch.equal(_run(fuser, trial(MIXED, tokens)).fused, clean.fused)
        expect(again, f"{having}: equal batches give other vectors", "nothing kept from one for the next")
        yield f"{having}: the seven subsets, and nothing present, give finite vectors of the shared width"

        for garbage in GARBAGE:
            dirty = _run(fuser, trial(MIXED, tokens, garbage))
            _expect_untouched(clean, dirty, f"{having}: absent slots that hold {garbage}")
        yield f"{having}: what absent slots hold changes no bit of vectors and gradients"

    _expect_all_count(build_seeded(build, Fuser, 0, MODALITIES, WIDTH, **options))
    yield "the vectors of every modality count"

    fuser.eval()
    embeddings = trial(MIXED, tokens=True)
    with torch.no_grad():
        fused = fuser(embeddings)
        same = all(torch.equal(fused, fuser(embeddings)) for _ in range(TIMES))
        expect(same, "evaluation gives other numbers each time", "the same bits for the same input")
        for row in range(len(fused)):
            far = distance(fuser(one_row(embeddings, row))[0], fused[row])
            expect(far <= TOLERANCE, f"row {row} differs by {far:.1e} alone", f"at most {TOLERANCE:.0e}")
    yield f"evaluation gives the same bits {TIMES} times, and a batch equals its rows one by one"

    if not fuser.reads_tokens:
        with torch.no_grad():
            same = torch.equal(fuser(embeddings), fuser(embeddings._replace(tokens={}, mask={})))
        expect(same, "tokens change the vectors", "reads_tokens = True in a fuser that reads tokens")

    if (shares := _shares(fuser, embeddings)) is not None:
        _expect_shares(shares, embeddings)
        for garbage in GARBAGE:
            other_shares = _shares(fuser, trial(MIXED, True, garbage))
            expect(
                other_shares is not None and torch.equal(shares, other_shares),
                f"absent slots that hold {garbage} change the shares",
                "no influence: read them through embeddings.visible(modality)",
            )
        yield "its shares of the modalities are 0 for what is absent and 1 in all"

    _run(fuser.train(), trial(EVERYTHING, tokens=True))
    reached(fuser)
    yield "the gradient reaches every parameter when everything is present"

    other: Fuser = build_seeded(build, Fuser, 1, MODALITIES, WIDTH, **options).eval()
    move_weights(fuser.eval(), other)
    with torch.no_grad():
        far = distance(other(embeddings), fuser(embeddings))
    expect(
        far <= TOLERANCE,
        f"another build with its saved weights gives vectors that differ by {far:.1e}",
        "all that training or chance decide to be in state_dict",
    )
    yield "saved weights give another build the same vectors"

    elsewhere: Fuser = build_seeded(build, Fuser, 0, MODALITIES, WIDTH, **options).eval()
    if stays(lambda: elsewhere.to(META)(moved(trial(MIXED, fuser.reads_tokens), META))):
        yield "forward stays on the device of its inputs"


def _run(fuser: Fuser, embeddings: Embeddings) -> _Outcome:
    fuser.zero_grad()
    pooled = {name: part.clone().requires_grad_() for name, part in embeddings.pooled.items()}
    tokens = {name: part.clone().requires_grad_() for name, part in embeddings.tokens.items()}
    given = embeddings._replace(
        pooled={name: part.clone() for name, part in pooled.items()},  # as in a training, no leaves
        tokens={name: part.clone() for name, part in tokens.items()},
    )
    with seed(0), unchanged("forward", *given[:5]):  # dropout
        fused = fuser(given)
    expect(
        isinstance(fused, Tensor) and fused.requires_grad,
        f"forward gave {type(fused).__name__} without a gradient",
        "a tensor that depends on the pooled vectors",
    )
    (fused * torch.linspace(-1, 2, fused.numel()).reshape(fused.shape)).sum().backward()
    leaves = {
        **dict(fuser.named_parameters()),
        **{f"the pooled {name}": part for name, part in pooled.items()},
        **{f"the tokens of {name}": part for name, part in tokens.items()},
    }
    gradients = {name: None if leaf.grad is None else leaf.grad.clone() for name, leaf in leaves.items()}
    return _Outcome(fused.detach(), gradients)


@torch.no_grad()
def _shares(fuser: Fuser, embeddings: Embeddings) -> Tensor | None:
    return fuser.shares(embeddings)


def _expect_shares(shares: Tensor, embeddings: Embeddings) -> None:
    present = torch.stack([embeddings.present[name] for name in MODALITIES], dim=-1)
    expect(
        isinstance(shares, Tensor) and shares.shape == present.shape,
        f"shares are {tuple(shares.shape)}",
        f"{tuple(present.shape)}: rows, modalities",
    )
    total = present.any(-1).to(shares.dtype)
    right = (shares >= 0).all() and not shares[~present].any() and (shares.sum(-1) - total).abs().max() < 1e-5
    expect(
        bool(right),
        f"shares are {shares.tolist()}",
        "numbers from 0, exactly 0 for what is absent, 1 in all where something is present",
    )


def _expect_shape(fused: Tensor, having: str) -> None:
    shape = tuple(fused.shape)
    expect(
        shape == (len(MIXED), WIDTH),
        f"{having}: forward gave shape {shape}",
        f"{(len(MIXED), WIDTH)}: rows, width",
    )
    for row, present in enumerate(MIXED):
        shown = [name for name, there in zip(MODALITIES, present, strict=True) if there]
        subset = " + ".join(shown) or "nothing"
        expect(
            fused[row].isfinite().all(),
            f"{having}: a row with {subset} gave NaN or infinity",
            "finite numbers",
        )


def _expect_all_count(fuser: Fuser) -> None:
    """Expect a gradient to each modality, once the weights are not as they start: a gate may start at 0."""
    with torch.no_grad(), seed(0):
        for parameter in fuser.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    gradients = _run(fuser, trial(MIXED)).gradients
    for name in MODALITIES:
        gradient = gradients[f"the pooled {name}"]
        expect(
            gradient is not None and gradient.any(),
            f"what {name} gives changes nothing",
            "all modalities to count: take them by name, as many as there are",
        )


def _expect_untouched(clean: _Outcome, dirty: _Outcome, what: str) -> None:
    expected = "no influence: read them through embeddings.visible(modality), and mask what you attend to"
    same = torch.equal(clean.fused, dirty.fused)
    expect(same, f"{what} change the fused vectors", expected)
    for name, gradient in clean.gradients.items():
        same = same_bits({name: gradient}, {name: dirty.gradients[name]})
        expect(same, f"{what} change the gradient of {name}", expected)
