"""Weights that went are zero, through every step of a training and in the file."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fusion import Model
from fusion.compressions.prune_magnitude import PruneMagnitude
from fusion.tensors import write
from fusion.testing.trial_model import trial_batch, trial_model

MATRICES = [
    *("encoders.image.first.weight", "encoders.image.second.0.weight", "encoders.image.head.weight"),
    *("encoders.text.words.weight", "encoders.text.layer.self_attn.in_proj_weight"),
    *("encoders.text.layer.self_attn.out_proj.weight", "encoders.text.layer.linear1.weight"),
    *("encoders.text.layer.linear2.weight", "encoders.audio.net.0.weight", "encoders.audio.body.0.weight"),
    *("encoders.audio.body.3.weight", "align.image.project.weight", "align.text.project.weight"),
    *("align.audio.project.weight", "fuser.join.0.weight", "fuser.join.2.weight"),
    "objectives.kind.head.weight",
]


def zeros(tensor: Tensor) -> int:
    return int((tensor == 0).sum())


def optimiser(model: Model) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=0.05, betas=(0.9, 0.99), weight_decay=0.1)


def step(model: Model, adamw: torch.optim.AdamW) -> None:
    adamw.zero_grad()
    model(trial_batch()).total.backward()
    adamw.step()


def test_matrices_kernels_and_embeddings_are_pruned_each_by_its_share() -> None:
    model = trial_model(0).eval()
    before = {name: value.clone() for name, value in model.named_parameters()}
    record = PruneMagnitude(sparsity=0.75).apply(model)
    assert sorted(record["pruned"]) == sorted(MATRICES)
    for name, value in model.named_parameters():
        went = round(0.75 * value.numel()) if name in MATRICES else 0
        assert zeros(value) - zeros(before[name]) == went
        assert record["pruned"].get(name, 0) == went
        size = before[name].abs()
        if went:
            assert size[value == 0].max() <= size[value != 0].min()
        assert torch.equal(value[value != 0], before[name][value != 0])


def test_all_together_a_matrix_of_small_numbers_loses_more() -> None:
    model = trial_model(0).eval()
    with torch.no_grad():
        model.fuser.join[0].weight.mul_(1e-3)
    total = sum(value.numel() for name, value in model.named_parameters() if name in MATRICES)
    small = model.fuser.join[0].weight.numel()
    record = PruneMagnitude(sparsity=0.5, scope="global").apply(model)
    assert record["pruned"]["fuser.join.0.weight"] == small - 1  # its largest stays
    assert sum(record["pruned"].values()) == round(0.5 * total)


def test_what_is_skipped_stays_whole() -> None:
    model = trial_model(0).eval()
    record = PruneMagnitude(skip=["encoders.text", "fuser"]).apply(model)
    assert sorted(record["pruned"]) == sorted(
        name for name in MATRICES if not name.startswith(("encoders.text", "fuser"))
    )


def test_a_beginning_of_no_name_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"skip names 'encoder\.text', with which no weight begins; there are "
    ):
        PruneMagnitude(skip=["encoder.text"]).apply(trial_model(0))


def test_a_model_of_which_all_is_skipped_is_refused() -> None:
    with pytest.raises(
        ValueError, match="no weight is left to prune beside skip: encoders, align, fuser, obj"
    ):
        PruneMagnitude(skip=["encoders", "align", "fuser", "objectives"]).apply(trial_model(0))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_went_stays_zero_through_adamw_and_does_not_come_back(scope: Any) -> None:
    model, pruning = trial_model(0), PruneMagnitude(sparsity=0.9, scope=scope, ramp=0.5)
    pruning.prepare(model, 0, 40)
    adamw = optimiser(model)
    gone, counts = {}, []
    for number in range(40):
        pruning.prepare(model, number, 40)
        now = {name: weight(model, name) == 0 for name in MATRICES}
        counts.append(sum(int(mask.sum()) for mask in now.values()))
        for name, mask in gone.items():
            assert bool(now[name][mask].all())
        gone = now
        step(model, adamw)
    total = sum(weight(model, name).numel() for name in MATRICES)
    shares = [count / total for count in counts]
    assert shares[:10] == [0.0] * 10
    assert shares[10] == pytest.approx(0.9 * (1 - 0.5**3), abs=0.01)  # half of the way up
    assert shares[20:] == [pytest.approx(0.9, abs=0.01)] * 20
    trained = {name: weight(model, name).detach().clone() for name in MATRICES}
    record = pruning.apply(model.eval())
    assert {name: zeros(value) for name, value in trained.items()} == record["pruned"]
    assert all(torch.equal(weight(model, name), trained[name]) for name in MATRICES)


def test_with_ramp_zero_all_is_done_before_the_first_step() -> None:
    model, pruning = trial_model(0), PruneMagnitude(sparsity=0.5, ramp=0)
    pruning.prepare(model, 0, 3)
    adamw, first = optimiser(model), zeros(weight(model, "fuser.join.0.weight"))
    assert first == round(0.5 * weight(model, "fuser.join.0.weight").numel())
    for number in range(3):
        pruning.prepare(model, number, 3)
        step(model, adamw)
        assert zeros(weight(model, "fuser.join.0.weight")) == first


def test_a_training_that_is_resumed_goes_on_with_the_same_bits() -> None:
    def run(steps: range, model: Model, pruning: PruneMagnitude, adamw: torch.optim.AdamW) -> None:
        for number in steps:
            torch.manual_seed(number)
            pruning.prepare(model, number, 20)
            step(model, adamw)

    made = []
    for _ in range(2):
        model, pruning = trial_model(0), PruneMagnitude(sparsity=0.8)
        pruning.prepare(model, 0, 20)
        made.append((model, pruning, optimiser(model)))
    (whole, *others), (resumed, pruning, adamw) = made
    run(range(7), whole, *others)
    resumed.load_state_dict(whole.state_dict())
    adamw.load_state_dict(copy.deepcopy(others[1].state_dict()))
    run(range(7, 20), whole, *others)
    run(range(7, 20), resumed, pruning, adamw)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


def test_the_file_is_smaller_by_what_is_zero_and_says_the_sparsity(tmp_path: Path) -> None:
    full, model = trial_model(0), trial_model(0).eval()
    write(tmp_path / "full", dict(full.state_dict()))
    PruneMagnitude(sparsity=0.9).apply(model)
    write(tmp_path / "pruned", dict(model.state_dict()))
    saved = load_file(tmp_path / "pruned")
    weights = sum(value.numel() for name, value in full.named_parameters() if name in MATRICES)
    values = sum(value.numel() for name, value in saved.items() if name.endswith("_values"))
    assert values / weights == pytest.approx(0.1, abs=0.002)
    bits = sum(value.numel() for name, value in saved.items() if name.endswith("_bits"))
    spared = 4 * (weights - values) - bits
    difference = (tmp_path / "full").stat().st_size - (tmp_path / "pruned").stat().st_size
    assert spared - 3000 < difference <= spared  # the header has more names


def test_where_hardly_anything_is_zero_tensors_stay_whole() -> None:
    model = trial_model(0).eval()
    record = PruneMagnitude(sparsity=0.02).apply(model)  # a bit for each takes more than 2 % of them
    assert record["packed"] == []
    assert model.state_dict().keys() == trial_model(0).state_dict().keys()


def test_a_weight_that_two_layers_share_stays_shared() -> None:
    model = trial_model(0)
    shared = model.encoders["text"].layer.linear2.weight
    model.encoders["audio"].body[3].weight = shared
    pruning = PruneMagnitude(sparsity=0.5)
    pruning.prepare(model, 0, 4)
    assert model.encoders["audio"].body[3].weight is model.encoders["text"].layer.linear2.weight
    record = pruning.apply(model.eval())
    assert record["pruned"]["encoders.text.layer.linear2.weight"] == 1024
    assert zeros(model.encoders["audio"].body[3].weight) == 1024


def test_a_record_of_no_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fuser\.join\.0\.weights is no parameter of the model"):
        PruneMagnitude().restore(trial_model(0), {"packed": ["fuser.join.0.weights"]})


def weight(model: nn.Module, name: str) -> Tensor:
    """Return a weight as it is computed with, masked or not."""
    owner, _, last = name.rpartition(".")
    return getattr(model.get_submodule(owner), last)  # type: ignore[no-any-return]
