"""Each check of a fuser finds the bug that it is there for."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Embeddings, Fuser, PluginError
from fusion.testing import check_fuser


class Sum(Fuser):
    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.mix = nn.Linear(width, width)

    def forward(self, embeddings: Embeddings) -> Tensor:
        return self.mix(torch.stack([embeddings.visible(name) for name in self.modalities]).sum(0))


def test_a_good_fuser_passes() -> None:
    assert len(check_fuser(Sum)) == 9


class Narrow(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return super().forward(embeddings)[:, 1:]


class Peeks(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return self.mix(torch.stack([embeddings.pooled[name] for name in self.modalities]).sum(0))


class PeeksAtTokens(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        tokens = [part.mean(1) for part in embeddings.tokens.values()]
        return super().forward(embeddings) + sum(tokens)


class MultipliesByZero(Sum):
    """0 * NaN is NaN."""

    def forward(self, embeddings: Embeddings) -> Tensor:
        parts = [embeddings.pooled[name] * embeddings.present[name][:, None] for name in self.modalities]
        return self.mix(torch.stack(parts).sum(0))


class MasksTooLate(Sum):
    """The result is clean, but the gradient of a masked NaN is NaN."""

    def forward(self, embeddings: Embeddings) -> Tensor:
        said = [
            self.mix(embeddings.pooled[name]).masked_fill(~embeddings.present[name][:, None], 0)
            for name in self.modalities
        ]
        return torch.stack(said).sum(0)


class Averages(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        count = torch.stack([embeddings.present[name] for name in self.modalities]).sum(0)
        return super().forward(embeddings) / count[:, None]


class NeedsAllTokens(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        fused = super().forward(embeddings)
        return fused + 0 * embeddings.mask["text"].sum() if embeddings.mask else fused


class BatchNormed(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        fused = super().forward(embeddings)
        return fused - fused.mean(0)


class AlwaysDrops(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return torch.dropout(super().forward(embeddings), 0.5, train=True)


class Counts(Sum):
    """Keeps how many batches it saw."""

    batches = 0

    def forward(self, embeddings: Embeddings) -> Tensor:
        self.batches += 1
        return super().forward(embeddings) * self.batches


class Doubles(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        embeddings.pooled["text"].mul_(2)
        return super().forward(embeddings)


class Removes(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        fused = super().forward(embeddings)
        embeddings.present.pop("text")
        return fused


class OnTheCPU(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return super().forward(embeddings) + torch.zeros(self.mix.out_features)


class TakesTwo(Sum):
    def forward(self, embeddings: Embeddings) -> Tensor:
        return self.mix(torch.stack([embeddings.visible(name) for name in self.modalities[:2]]).sum(0))


class Gated(Sum):
    """Starts with a gate that is closed to all but the first (Flamingo, 2022)."""

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.gate = nn.Parameter(torch.zeros(len(modalities) - 1))

    def forward(self, embeddings: Embeddings) -> Tensor:
        first, *others = (embeddings.visible(name) for name in self.modalities)
        return self.mix(first + (self.gate.tanh()[:, None, None] * torch.stack(others)).sum(0))


def test_a_gate_may_start_at_zero() -> None:
    assert "the vectors of every modality count" in check_fuser(Gated)


class Spare(Sum):
    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.spare = nn.Parameter(torch.zeros(1))


class UnsavedSum(Sum):
    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.scale = torch.randn(1)

    def forward(self, embeddings: Embeddings) -> Tensor:
        return super().forward(embeddings) * self.scale


class Portions(Sum):
    """Names its portions after what is present, or so it says."""

    def __init__(self, modalities: Sequence[str], width: int, *, fault: str) -> None:
        super().__init__(modalities, width)
        self.fault = fault

    def shares(self, embeddings: Embeddings) -> Tensor:
        present = torch.stack([embeddings.present[name] for name in self.modalities], dim=-1).float()
        if self.fault == "all":
            return torch.full_like(present, 1 / 3)
        if self.fault == "peeks":
            return present / present.sum(-1, keepdim=True).clamp(min=1) + 0 * embeddings.pooled["text"][:, :1]
        return present / present.sum(-1, keepdim=True).clamp(min=1) if self.fault else present


def test_shares_are_checked_where_a_fuser_has_them() -> None:
    passed = "its shares of the modalities are 0 for what is absent and 1 in all"
    assert passed in check_fuser(Portions, fault="none")
    assert passed not in check_fuser(Sum)
    for fault, message in [
        ("", "shares are .*1 in all"),
        ("all", "shares are"),
        ("peeks", "hold nan change"),
    ]:
        with pytest.raises(PluginError, match=message):
            check_fuser(Portions, fault=fault)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda modalities, width: nn.Identity(), r"it builds a Identity; expected a fusion\.Fuser"),
        (Narrow, r"without tokens: forward gave shape \(16, 31\); expected \(16, 32\): rows, width"),
        (Peeks, r"absent slots that hold nan change the fused vectors; expected no influence"),
        (PeeksAtTokens, r"with tokens: absent slots that hold nan change the fused vectors"),
        (MultipliesByZero, "absent slots that hold nan change the fused vectors"),
        (MasksTooLate, r"absent slots that hold nan change the gradient of mix\.weight"),
        (Averages, "without tokens: a row with nothing gave NaN or infinity"),
        (BatchNormed, "row 0 differs by .* alone; expected at most 1e-05"),
        (TakesTwo, "what audio gives changes nothing; expected all modalities to count"),
        (Counts, "without tokens: equal batches give other vectors; expected nothing kept"),
        (Doubles, r"forward changes what it is given \(image, text, audio\); expected new tensors"),
        (Removes, r"forward changes what it is given \(image, text, audio\)"),
        (OnTheCPU, "forward mixes devices"),
        (AlwaysDrops, "evaluation gives other numbers each time"),
        (Spare, "parameter 'spare' gets no gradient"),
        (UnsavedSum, "another build with its saved weights gives vectors that differ"),
    ],
)
def test_a_faulty_fuser_is_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_fuser(build)
