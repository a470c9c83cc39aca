"""Each check of an encoder finds the bug that it is there for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fusion import DataError, Encoder, Encoding, PluginError, Processor, Signal
from fusion.testing import check_encoder

Wave = NDArray[np.float32]
SAMPLES = [np.sin(np.arange(length, dtype=np.float32)) for length in (3, 8, 5)]


class Waves(Processor):
    def decode(self, raw: Any) -> Wave:
        if not isinstance(raw, np.ndarray):
            raise DataError("a wave is an array")
        return raw

    def collate(self, samples: Sequence[Wave]) -> dict[str, Tensor]:
        x = pad_sequence([torch.from_numpy(sample) for sample in samples], batch_first=True)
        return {"x": x, "length": torch.tensor([len(sample) for sample in samples])}


class Good(Encoder):
    """A linear map per step, averaged over the real ones."""

    def __init__(self, *, dim: int = 4) -> None:
        super().__init__()
        self.dim = dim
        self.processor = Waves()
        self.net = nn.Linear(1, dim)

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        mask = torch.arange(x.shape[1], device=x.device) < length[:, None]
        tokens = self.net(x[..., None])
        pooled = (tokens * mask[..., None]).sum(1) / length[:, None]
        return Encoding(pooled, tokens, mask)


def test_a_good_encoder_passes() -> None:
    passed = check_encoder(Good, SAMPLES, dim=6)
    assert "a batch equals its rows one by one to 1e-05" in passed
    assert "forward stays on the device of its inputs" in passed
    assert not any("assets" in said for said in passed)


class Named(Waves):
    """Says that an input of it is the raw wave."""

    def __init__(self, name: str = "x", high: float = 1.0) -> None:
        self.name, self.high = name, high

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {self.name: Signal(-1.0, self.high)}


class Deaf(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x.detach(), length)


@pytest.mark.parametrize(
    ("build", "processor", "message"),
    [
        (Good, Named("y"), "signals names 'y', which is no input of it; expected an input of floating point"),
        (Good, Named("length"), r"signals names 'length', which is torch.int64 of shape \(3,\)"),
        (Good, Named(high=-1.0), "the signal 'x' goes from -1.0 to -1.0; expected the range of raw samples"),
        (Deaf, Named(), "the gradient does not reach the signal 'x'"),
    ],
)
def test_signals_that_are_none_are_found(build: type[Good], processor: Named, message: str) -> None:
    def built() -> Good:
        encoder = build()
        encoder.processor = processor
        return encoder

    with pytest.raises(PluginError, match=message):
        check_encoder(built, SAMPLES)


def test_signals_that_are_there_pass() -> None:
    def built() -> Good:
        encoder = Good()
        encoder.processor = Named()
        return encoder

    assert "its signals are inputs of numbers, and the gradient reaches them" in check_encoder(built, SAMPLES)


class Buckets(Waves):
    """Puts all waves end to end, beside how long each is."""

    def collate(self, samples: Sequence[Wave]) -> dict[str, Tensor]:
        return {
            "length": torch.tensor([len(sample) for sample in samples]),
            "flat": torch.from_numpy(np.concatenate(samples)),
        }


class Bucketed(Good):
    def __init__(self) -> None:
        super().__init__()
        self.processor = Buckets()

    def forward(self, length: Tensor, flat: Tensor) -> Encoding:
        parts = flat.split(length.tolist())
        return Encoding(torch.stack([self.net(part[:, None]).mean(0) for part in parts]))


def test_only_the_first_tensor_has_a_row_for_each_sample() -> None:
    passed = check_encoder(Bucketed, SAMPLES)
    assert "a batch equals its rows one by one to 1e-05" in passed
    # it reads numbers, of which that device has none
    assert "forward stays on the device of its inputs" not in passed


class NoDim(Good):
    def __init__(self) -> None:
        super().__init__()
        del self.dim


class NoProcessor(Good):
    def __init__(self) -> None:
        super().__init__()
        self.processor = lambda samples: samples  # type: ignore[assignment]


class WrongWidth(Good):
    def __init__(self) -> None:
        super().__init__()
        self.dim = 5


class NoEncoding(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x, length).pooled  # type: ignore[return-value]


class FloatMask(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        pooled, tokens, mask = super().forward(x, length)
        assert mask is not None
        return Encoding(pooled, tokens, mask.float())


class NotANumber(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        encoding = super().forward(x, length)
        return encoding._replace(pooled=encoding.pooled / (x.sum(1, keepdim=True) * 0))


class PaddingLeaks(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        encoding = super().forward(x, length)
        assert encoding.tokens is not None
        return encoding._replace(pooled=encoding.tokens.mean(1))


class PaddingIsNotMasked(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x, length)._replace(mask=None)


class NeighboursLeak(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        encoding = super().forward(x, length)
        return encoding._replace(pooled=encoding.pooled - encoding.pooled.mean(0))


class RandomForward(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x + torch.randn_like(x), length)


class RandomWaves(Waves):
    def decode(self, raw: Any) -> Wave:
        return super().decode(raw) + np.random.default_rng().normal(size=raw.shape).astype(np.float32)


class Clamps(Good):
    """Changes its input, in a way that a second time changes nothing."""

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x.clamp_(max=0.5), length)


class OnTheCPU(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x + torch.zeros(x.shape[1]), length)


class LeftBehind(Good):
    """Its window is no buffer, so that it stays where it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.window = torch.full((1, 1), 2.0)

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        pooled, tokens, mask = super().forward(x, length)
        return Encoding(pooled * self.window, tokens, mask)


class Elsewhere(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        pooled, tokens, mask = super().forward(x, length)
        return Encoding(pooled if x.is_cpu else torch.zeros(pooled.shape), tokens, mask)


class Calibrated(Good):
    """Goes by the first batch that it sees, and a run that is loaded sees another one."""

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        if not hasattr(self, "center"):
            self.center = x.mean().detach()
        return super().forward(x - self.center, length)


class CalibratedWaves(Waves):
    """Goes by the first sample, which is another one in each loader worker."""

    def decode(self, raw: Any) -> Wave:
        wave = super().decode(raw)
        if not hasattr(self, "center"):
            self.center = wave.mean()
        return wave - self.center


class ListedWaves(Waves):
    def collate(self, samples: Sequence[Wave]) -> dict[str, Any]:
        return super().collate(samples) | {"length": [len(sample) for sample in samples]}


class LearningWaves(Waves):
    def __init__(self) -> None:
        self.gain = torch.ones(1, requires_grad=True)


class GreedyWaves(Waves):
    """Changes what the source gave."""

    def decode(self, raw: Any) -> Wave:
        wave = super().decode(raw)
        wave *= 2
        return wave


class PooledWaves(Waves):
    def collate(self, samples: Sequence[Wave]) -> dict[str, Tensor]:
        return super().collate(samples) | {"x": torch.from_numpy(np.concatenate(samples))}


class UncountedWaves(Waves):
    def count_tokens(self, sample: Wave) -> int:
        return len(sample) - 3


class NoWaves(Waves):
    def collate(self, samples: Sequence[Wave]) -> dict[str, Tensor]:
        return {}


class TrustingWaves(Waves):
    def decode(self, raw: Any) -> Wave:
        return super().decode(raw + np.float32(0))


class WeighingWaves(Waves):
    def __init__(self) -> None:
        self.parts = {"filters": [nn.Conv1d(1, 1, 3)]}


class LargeWaves(Waves):
    def __init__(self) -> None:
        self.table = np.zeros(2**24)


class OpenWaves(Waves):
    def __init__(self) -> None:
        self.read = lambda raw: raw


class ForgetfulWaves(Waves):
    """Loses what it was set up with on its way to a worker."""

    gain = 1.0

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def decode(self, raw: Any) -> Wave:
        return super().decode(raw) * np.float32(self.gain)

    def __init__(self) -> None:
        self.gain = 2.0


class Untrained(Good):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


class Detached(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        pooled, tokens, mask = super().forward(x, length)
        assert tokens is not None
        return Encoding(pooled.detach(), tokens.detach(), mask)


class HalfDetached(Good):
    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        pooled, tokens, mask = super().forward(x, length)
        return Encoding(pooled.detach(), tokens, mask)


class Unsaved(Good):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.randn(1)  # not a buffer

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(x * self.scale, length)


def processed_by(processor: type[Waves]) -> Callable[[], Encoder]:
    def build() -> Encoder:
        encoder = Good()
        encoder.processor = processor()
        return encoder

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Linear(1, 1), r"it builds a Linear; expected a fusion\.Encoder"),
        (NoDim, "dim is None; expected the width"),
        (NoProcessor, r"processor is <function .*; expected a fusion\.Processor"),
        (WrongWidth, r"pooled has shape \(3, 4\); expected \(3, 5\): samples, dim"),
        (NoEncoding, r"forward gave a Tensor; expected a fusion\.Encoding"),
        (FloatMask, r"mask is torch\.float32 of shape \(3, 8\); expected bool of shape \(3, 8\)"),
        (NotANumber, "pooled holds NaN or infinity"),
        (PaddingLeaks, r"sample 0 differs by .* alone; .*does padding.*leak"),
        (PaddingIsNotMasked, r"sample 0 has tokens of shape \(8, 4\) in a batch and of \(3, 4\) alone"),
        (NeighboursLeak, "sample 0 differs by .* alone; .*another row of the batch"),
        (RandomForward, "forward in evaluation gives other numbers each time"),
        (processed_by(RandomWaves), "decode gives other numbers each time"),
        (processed_by(GreedyWaves), "decode changes the sample that it is given"),
        (processed_by(ListedWaves), "collate gave 'length', a list; expected tensors"),
        (processed_by(LearningWaves), "the processor holds a Tensor; expected no weights"),
        (
            processed_by(CalibratedWaves),
            "the pickled processor gives other numbers, once it has decoded another sample",
        ),
        (Clamps, r"forward changes what it is given \(x, length\); expected new tensors"),
        (Calibrated, "another build with its saved weights gives vectors that differ by"),
        (OnTheCPU, r"forward mixes devices \(Tensor on device cpu .*; expected tensors that are made with"),
        (LeftBehind, r"forward mixes devices .*register_buffer"),
        (Elsewhere, "forward gave a tensor on cpu for inputs elsewhere"),
        (processed_by(UncountedWaves), r"count_tokens gave \[.*0.*\]; expected whole numbers from 1 on"),
        (processed_by(NoWaves), "collate gave nothing; expected the keyword arguments of forward"),
        (
            processed_by(PooledWaves),
            r"collate gave 'x', its first, of shape \(16,\) for 3 samples; expected \(3, \.\.\.\)",
        ),
        (
            processed_by(TrustingWaves),
            r"decode of a bare object\(\) raised TypeError.*expected fusion\.DataErr",
        ),
        (processed_by(WeighingWaves), "the processor holds a Conv1d; expected no weights"),
        (processed_by(LargeWaves), "the processor takes 128 MiB when pickled; expected at most 64"),
        (
            processed_by(OpenWaves),
            "the processor cannot be pickled: .*lambda.*; expected one that can be sent",
        ),
        (processed_by(ForgetfulWaves), "the pickled processor gives other numbers"),
        (Untrained, r"parameter 'spare\.weight' gets no gradient"),
        (Detached, "pooled has no gradient"),
        (HalfDetached, "pooled has no gradient"),
        (Unsaved, "another build with its saved weights gives vectors that differ by"),
    ],
)
def test_a_faulty_encoder_is_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_encoder(build, [sample.copy() for sample in SAMPLES])


def test_one_sample_is_not_enough() -> None:
    with pytest.raises(PluginError, match="1 samples are given; expected two or more, of different lengths"):
        check_encoder(Good, SAMPLES[:1])


class Pretrained(Good):
    """Reads how wide it is from a folder, or from where `model` says."""

    def __init__(self, assets: Path | None = None, *, model: str = "6") -> None:
        dim = (assets / "dim.txt").read_text() if assets else model
        super().__init__(dim=int(dim))
        self.origin = {} if assets else {"model": model}

    def save_assets(self, folder: Path) -> None:
        (folder / "dim.txt").write_text(str(self.dim))


def test_an_encoder_is_built_again_from_its_assets() -> None:
    passed = check_encoder(Pretrained, SAMPLES, model="5")
    assert passed[-1] == "its assets and saved weights give the same vectors"


class ForgottenAssets(Pretrained):
    def save_assets(self, folder: Path) -> None:
        pass


class SavedWeights(Pretrained):
    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        torch.save(self.state_dict(), folder / "model.pt")


class LargeAssets(Pretrained):
    def save_assets(self, folder: Path) -> None:
        super().save_assets(folder)
        (folder / "deep").mkdir()
        (folder / "deep" / "vocabulary.txt").write_bytes(bytes(65 * 2**20))


class OtherModules(Pretrained):
    def save_assets(self, folder: Path) -> None:
        (folder / "dim.txt").write_text("3")


class OtherProcessor(Pretrained):
    def __init__(self, assets: Path | None = None, *, model: str = "6") -> None:
        super().__init__(assets, model=model)
        if assets:
            self.processor = ForgetfulWaves()


class OtherForward(Pretrained):
    def __init__(self, assets: Path | None = None, *, model: str = "6") -> None:
        super().__init__(assets, model=model)
        self.scale = 1 if assets else 2

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        return super().forward(self.scale * x, length)


class OriginFromAssets(Pretrained):
    def __init__(self, assets: Path | None = None, *, model: str = "6") -> None:
        super().__init__(assets, model=model)
        self.origin = {"model": model}


class TakesNoAssets(Good):
    def save_assets(self, folder: Path) -> None:
        (folder / "dim.txt").write_text("4")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (ForgottenAssets, "save_assets wrote no file; expected one at least, or not to be overridden"),
        (SavedWeights, r"save_assets wrote model\.pt; expected no weights there"),
        (LargeAssets, "save_assets wrote 65 MiB; expected at most 64 MiB, and no weights"),
        (OtherModules, r"from its assets it cannot take the saved weights: .*net\.weight.*the same modules"),
        (OtherProcessor, "built from its assets, its processor gives other numbers"),
        (OtherForward, "built from its assets, with its saved weights, it gives vectors that differ by"),
        (OriginFromAssets, r"built from its assets, origin is \{'model': '6'\}; expected an empty one"),
        (TakesNoAssets, r"it takes no assets: .*positional.*; expected `assets: Path \| None = None`"),
    ],
)
def test_faulty_assets_are_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_encoder(build, SAMPLES)


class Grouped(Good):
    def layer_groups(self) -> list[list[nn.Parameter]]:
        return super().layer_groups()[::-1]


class LeftOut(Good):
    def layer_groups(self) -> list[list[nn.Parameter]]:
        return super().layer_groups()[1:]


def test_groups_of_layers_have_every_parameter_once() -> None:
    assert "layer_groups has every parameter once" in check_encoder(Grouped, SAMPLES)
    with pytest.raises(PluginError, match="layer_groups leaves a parameter out, or has one twice"):
        check_encoder(LeftOut, SAMPLES)


class Counting(Good):
    """It is another function each time that it is called with a gradient."""

    calls = 0

    def forward(self, *args: Any, **inputs: Any) -> Encoding:
        self.calls += self.training
        encoding = super().forward(*args, **inputs)
        return encoding._replace(pooled=encoding.pooled * (1 + self.calls))


def test_an_encoder_whose_forward_cannot_be_repeated_is_found() -> None:
    assert "the gradient is the same when the blocks are computed again in the backward" in check_encoder(
        Good, SAMPLES
    )
    with pytest.raises(PluginError, match=r"differs by .* when forward runs a second time, in the backward"):
        check_encoder(Counting, SAMPLES)
