"""A pruned run is a smaller folder that gives the bits of the pruned model, and can be started from."""

from pathlib import Path

import pytest
import torch
from fusion_digits.source import Digits
from safetensors.torch import load_file

from fusion import Registry, Run, load
from fusion.recipe.picks import Pick
from fusion.shrink import speed
from fusion.shrink.compress import compress
from fusion.transfer.initial import weights_of

ROWS = [{"image": row["image"], "audio": row["audio"]} for row in (Digits(split="test")[n] for n in range(4))]


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "BUDGET", 0.0)


def smaller(run: Run, out: Path, recover: int = 0, **options: object) -> Run:
    made = compress(run, out, chosen=[Pick.model_validate(options)], recover=recover, max_drop=1.0).run
    assert made is not None
    return made


def test_sparsity_is_counted_from_the_file(tiny_run: Run, tmp_path: Path) -> None:
    made = smaller(tiny_run, tmp_path / "run", name="prune-magnitude", sparsity=0.9)
    saved, full = load_file(made.model_file), load_file(tiny_run.model_file)
    packed = [name.removesuffix("_bits") for name in saved if name.endswith("_bits")]
    assert {name for name in full if full[name].ndim > 1 and "places" not in name} <= set(packed)
    kept = sum(len(saved[f"{name}_values"]) for name in packed)
    assert kept / sum(full[name].numel() for name in packed) == pytest.approx(0.1, abs=0.01)
    assert made.model_file.stat().st_size < 0.4 * tiny_run.model_file.stat().st_size
    weights = load(made, "cpu").model.encoders["image"].net[3].body[0].weight
    assert int((weights == 0).sum()) == round(0.9 * weights.numel())


def test_channels_are_gone_from_three_modalities_and_from_the_file(tiny_run: Run, tmp_path: Path) -> None:
    made = smaller(tiny_run, tmp_path / "run", name="prune-structured", sparsity=0.5)
    for name in ("image", "text", "audio"):
        key = f"parameters/encoders.{name}"
        assert made.metrics[key] < tiny_run.metrics[key]
    model = load(made, "cpu")
    before = load_file(made.model_file)
    assert {name: tuple(value.shape) for name, value in model.model.state_dict().items()} == {
        name: tuple(value.shape) for name, value in before.items()
    }
    assert torch.isfinite(model.encode(ROWS).fused).all()


@pytest.mark.parametrize("name", ["prune-magnitude", "prune-structured"])
def test_after_steps_to_recover_what_went_is_gone(name: str, tiny_run: Run, tmp_path: Path) -> None:
    made = smaller(tiny_run, tmp_path / "run", recover=2, name=name, sparsity=0.5)
    model = load(made, "cpu").model
    weight = model.encoders["text"].layers[0].mix[0].weight
    assert (len(weight), int((weight == 0).sum())) == ((16, 0) if name == "prune-structured" else (32, 256))


def test_what_a_run_of_pruned_weights_hands_on_is_whole(
    tiny_run: Run, registry: Registry, tmp_path: Path
) -> None:
    made = smaller(tiny_run, tmp_path / "pruned", name="prune-magnitude", sparsity=0.5)
    weights, _ = weights_of(made, registry)
    assert weights.keys() == load_file(tiny_run.model_file).keys()
    for name, value in load(made, "cpu").model.named_parameters():
        assert torch.equal(weights[name], value)
