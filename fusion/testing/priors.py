"""Check a prior."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fusion.files import sha256
from fusion.prior import Earlier, Prior, Pull
from fusion.priors.information import FISHER
from fusion.testing.expect import expect
from fusion.training.checkpoint import write_tensors

KNOWN = {
    "encoders.image.layer.weight": (4, 3),
    "encoders.text.layer.weight": (4, 2, 3),
    "align.audio.norm.bias": (5,),
    "objectives.near.temperature": (),
}
NEW = {"encoders.audio.layer.weight": (4, 3), "objectives.kind.head.bias": (3,)}


def check_prior(build: Callable[..., Prior], **options: Any) -> list[str]:
    """Check the prior that `build(earlier, **options)` returns; return what passed.

    `earlier` is a folder with the files of a run that a prior may read: weights and their Fisher information.
    """
    with TemporaryDirectory() as folder:
        return list(_checks(lambda earlier: build(earlier, **options), _earlier(Path(folder))))


def _checks(build: Callable[[Earlier], Prior], earlier: Earlier) -> Iterator[str]:
    prior = build(earlier)
    expect(isinstance(prior, Prior), f"it builds a {type(prior).__name__}", "a fusion.Prior")
    start, before = _start(), _start()
    pulls = {name: prior.pull(name, value, name in KNOWN) for name, value in start.items()}
    same = all(torch.equal(value, before[name]) for name, value in start.items())
    expect(same, "pull changes the values that it is given", "them to stay as they are")
    yield "it leaves the parameters as they are"

    for name, pull in pulls.items():
        expect(pull is None or isinstance(pull, Pull), f"pull gives {pull!r}", "a fusion.Pull or None")
        if pull is not None:
            _fits(name, pull, start[name])
    yield "strengths are finite and not below 0, anchors finite, both shaped like the parameter"

    held = [name for name in KNOWN if pulls[name] is not None]
    expect(bool(held), "nothing that is known is pulled anywhere", "a pull at one parameter at least")
    yield f"it pulls at {len(held)} of {len(KNOWN)} parameters that are known"

    again = build(earlier)
    for name, value in reversed(_start().items()):
        expect(
            _same(again.pull(name, value, name in KNOWN), pulls[name]),
            f"another build gives another pull for {name}",
            "the answer to depend on name, value, and whether it is known alone",
        )
    yield "another build gives the same pulls, in whatever order it is asked"


def _earlier(folder: Path) -> Earlier:
    known = {name: value for name, value in _start().items() if name in KNOWN}
    weights = folder / "model.safetensors"
    write_tensors(weights, known)
    told = {"sha256": sha256(weights), "rows": "1", "batch": "1"}
    write_tensors(folder / FISHER, {name: value.square() for name, value in known.items()}, told)
    return Earlier(str(folder), told["sha256"])


def _start() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=random) for name, shape in (KNOWN | NEW).items()}


def _fits(name: str, pull: Pull, value: Tensor) -> None:
    for what, part in zip(("strength", "anchor"), pull, strict=True):
        if isinstance(part, Tensor):
            shape = f"an {what}" if what == "anchor" else f"a {what}"
            found = f"{name} is pulled by {shape} of shape {tuple(part.shape)}"
            expect(part.shape == value.shape, found, f"{tuple(value.shape)}")
            expect(bool(part.isfinite().all()), f"the {what} of {name} is NaN or infinite", "finite numbers")
            expect(not part.requires_grad, f"the {what} of {name} has a gradient", "plain numbers")
    strength = torch.as_tensor(pull.strength)
    least = strength.min().item() if strength.numel() else 0.0
    expect(
        bool(strength.isfinite().all()) and least >= 0,
        f"the strength at {name} is {least:.3g}",
        "finite, and not below 0",
    )


def _same(one: Pull | None, other: Pull | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(
        torch.equal(torch.as_tensor(mine), torch.as_tensor(yours))
        if mine is not None and yours is not None
        else mine is yours
        for mine, yours in zip(one, other, strict=True)
    )
