"""Check a tuning."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fusion.encoder import Encoder, Encoding, Processor
from fusion.testing.expect import (
    TOLERANCE,
    build_seeded,
    distance,
    expect,
    move_weights,
    seed,
)
from fusion.tuning import Tuning, rest

STEPS = 12
ROWS, NUMBERS, WIDTH = 4, 6, 8


class _Numbers(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class _Fixed(nn.Module):
    """Scales by a parameter that does not learn."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(numbers), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class _Trial(Encoder):
    """A small encoder with some of everything: a list of layers, statistics, dropout, and fixed scales."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = WIDTH, _Numbers()
        self.scale = _Fixed(NUMBERS)
        self.body = nn.Sequential(
            nn.Linear(NUMBERS, WIDTH),
            nn.BatchNorm1d(WIDTH),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(WIDTH, WIDTH),
            _Fixed(WIDTH),
        )
        self.head, self.last = nn.Linear(WIDTH, WIDTH), _Fixed(WIDTH)

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.last(self.head(self.body(self.scale(x)))))


def check_tuning(build: Callable[..., Tuning], **options: Any) -> list[str]:
    """Check the tuning that `build(**options)` returns, on a small encoder; return what passed."""
    return list(_checks(build, options))


def _checks(build: Callable[..., Tuning], options: dict[str, Any]) -> Iterator[str]:
    x = torch.linspace(-1, 1, ROWS * NUMBERS).view(ROWS, NUMBERS)
    before = _vectors(build_seeded(_Trial, Encoder, 0), x)
    tuning, encoder = _prepared(build, options)
    expect(
        torch.equal(_vectors(encoder, x), before), "prepare changes the vectors", "the same bits as before"
    )
    yield "what it prepares gives the same vectors as before, to the bit"

    loose = [part for part in encoder.modules() if isinstance(part, _Fixed) and part.scale.requires_grad]
    expect(not loose, "it lets a parameter learn that the encoder keeps fixed", "requires_grad to stay False")
    yield "what the encoder keeps from learning stays kept"

    marked = _learning(encoder)
    for step in range(STEPS):
        tuning.start_step(encoder, step, STEPS)
        extra = sorted(_learning(encoder) - marked)
        expect(
            not extra,
            f"at step {step} of {STEPS} {', '.join(extra)} learn, which prepare did not mark",
            "prepare to set requires_grad of all that learn at any time",
        )
        fresh_tuning, fresh = _prepared(build, options)
        fresh_tuning.start_step(fresh, step, STEPS)
        expect(
            _learning(fresh) == _learning(encoder),
            f"at step {step} of {STEPS} other parameters learn when a training is resumed there",
            "the answer to depend on (step, steps) alone",
        )
        state, learning = _state(encoder), _learning(encoder)
        _train(encoder, x)
        moved = [name for name, value in _state(encoder).items() if not torch.equal(value, state[name])]
        wrong = [name for name in moved if name in dict(encoder.named_parameters()) and name not in learning]
        expect(
            not wrong, f"at step {step} {', '.join(wrong)} changed", "what does not learn to keep its bits"
        )
    yield f"in {STEPS} steps only what it marked learns, and each step is the same when resumed there"

    other, another = _prepared(build, options, 1)
    other.start_step(another, STEPS - 1, STEPS)
    move_weights(encoder, another)
    expect(
        torch.equal(_vectors(encoder, x), _vectors(another, x)),
        "another build with its saved weights gives other vectors",
        "all that training decides to be in state_dict",
    )
    yield "saved weights give another build the same vectors"

    trained = _vectors(encoder, x)
    tuning.merge(encoder)
    plain: Encoder = build_seeded(_Trial, Encoder, 1)
    expect(
        encoder.state_dict().keys() == plain.state_dict().keys(),
        "after merge the encoder has other tensors than at first",
        "merge to undo what prepare adds",
    )
    move_weights(encoder, plain)
    far = distance(_vectors(plain, x), trained)
    expect(far <= TOLERANCE, f"after merge the vectors differ by {far:.1e}", "what was learned to stay")
    yield "merged, its weights give an encoder that is not tuned the same vectors"


def _prepared(
    build: Callable[..., Tuning], options: dict[str, Any], number: int = 0
) -> tuple[Tuning, Encoder]:
    encoder: Encoder = build_seeded(_Trial, Encoder, number)
    tuning = build(**options)
    expect(isinstance(tuning, Tuning), f"it builds a {type(tuning).__name__}", "a fusion.Tuning")
    with seed(number):
        tuning.prepare(encoder)
    return tuning, encoder


def _learning(encoder: Encoder) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def _state(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def _train(encoder: Encoder, x: Tensor) -> None:
    """Take one step, in the modes in which the core trains."""
    rest(encoder.train())
    encoder.zero_grad()
    loss = encoder(x).pooled.square().sum()
    if loss.requires_grad:
        loss.backward()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)


@torch.no_grad()
def _vectors(encoder: Encoder, x: Tensor) -> Tensor:
    pooled: Tensor = encoder.eval()(x).pooled
    return pooled
