"""Fisher information: closed forms, gradients row by row, ranks, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from fusion import DataError, Recipe, Registry, Run, load, train
from fusion.build import build_sources
from fusion.data.collate import Collator
from fusion.data.order import Order, Slots
from fusion.files import sha256
from fusion.picks import complete
from fusion.prior import Earlier
from fusion.priors.ewc import Ewc
from fusion.priors.information import FISHER
from fusion.training.launch import launch
from fusion.transfer.fisher import Fisher, fisher, write
from tests.training.toys import recipe

ALL = ("image", "text", "audio")
TASKS = {
    "sources": {"all": {"name": "toy", "view": list(ALL), "rows": 24}},
    "objectives": {"kind": {"name": "classify", "classes": 3}},
    "train.steps": 4,
    "encoders.image.tune": {"mode": "frozen"},
    "encoders.text.tune": {"mode": "lora", "rank": 2},
}


@pytest.fixture(scope="module")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one task; an encoder is frozen, one has adapters, and augmentation and dropout are on."""
    return train(recipe(TASKS), tmp_path_factory.mktemp("tasks") / "run", registry=registry)


@pytest.fixture(scope="module")
def accelerator(run: Run) -> Accelerator:
    return launch(run.recipe.train)


def found(
    run: Run, registry: Registry, accelerator: Accelerator, rows: int, batch: int | None = None
) -> Fisher:
    model = load(run, "cpu", registry).model
    model.merge()
    return fisher(model, run.recipe, registry, accelerator, rows, batch)


def test_of_a_softmax_regression_it_is_the_mean_squared_residual(
    run: Run, registry: Registry, accelerator: Accelerator
) -> None:
    rows = build_sources(run.recipe.sources, registry)["all"]
    given = [{name: rows[number][name] for name in ALL} for number in range(24)]
    p = load(run, "cpu", registry).predict(given)["kind"].score
    y = F.one_hot(torch.arange(24) % 3, 3)
    got = found(run, registry, accelerator, 24)
    assert (got.rows, got.batch, got.bad) == (24, 1, [])
    torch.testing.assert_close(got.information["objectives.kind.head.1.bias"], (p - y).square().mean(0))


def test_it_is_the_mean_squared_gradient_of_single_rows_and_of_all_parameters(
    run: Run, registry: Registry, accelerator: Accelerator
) -> None:
    model = load(run, "cpu", registry).model.eval()
    model.merge()
    model.requires_grad_(True)
    rows, collator = build_sources(run.recipe.sources, registry)["all"], Collator(model.processors, {})
    sums = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for number in range(24):
        model.zero_grad()
        batch = collator.stack([collator.decode(rows[number])], Slots.unnumbered(1))
        score = model.tasks["kind"].predict(model.fuse(model.embed(batch), batch.shown)).score
        (-score[0, number % 3].log()).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                sums[name] += parameter.grad**2 / 24
    got = found(run, registry, accelerator, 1000).information  # all rows that there are, once
    assert got.keys() == sums.keys()
    assert {f"encoders.{name}.layer.weight" for name in ALL} <= got.keys()  # frozen, merged, and trained
    for name, value in sums.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-9)
        assert bool(got[name].any()) or "in_proj_bias" in name


def test_losses_that_compare_rows_are_taken_in_batches(
    registry: Registry, accelerator: Accelerator, tmp_path: Path
) -> None:
    made = recipe({"train.steps": 2, "objectives": {"align": {"name": "contrastive", "hub": "text"}}})
    pairs = train(made, tmp_path / "run", registry=registry)
    got = found(pairs, registry, accelerator, 10)
    assert (got.rows, got.batch) == (12, 6)
    model = load(pairs, "cpu", registry).model.eval()
    sources = build_sources(pairs.recipe.sources, registry)
    order = Order({name: len(source) for name, source in sources.items()}, {"seen": 2, "heard": 1}, 6, 0)
    tables, collator = list(sources.values()), Collator(model.processors, model.targets())
    expected = 0.0
    for step in range(2):
        slots = order(step)
        rows = [
            collator.decode(tables[source][row]) for source, row in zip(slots.source, slots.row, strict=True)
        ]
        loss = model(collator.stack(rows, slots)).total
        [gradient] = torch.autograd.grad(loss, [model.encoders["audio"].layer.weight])
        expected = expected + 6 * gradient**2 / 2
    torch.testing.assert_close(got.information["encoders.audio.layer.weight"], expected, rtol=1e-4, atol=1e-9)


def test_a_row_that_cannot_be_read_does_not_count(
    registry: Registry, accelerator: Accelerator, tmp_path: Path
) -> None:
    broken = {"sources": {"all": {"name": "toy", "view": list(ALL), "rows": 24, "broken": [3, 5]}}}
    got = found(train(recipe(TASKS | broken), tmp_path / "run", registry=registry), registry, accelerator, 24)
    assert got.rows == 22
    assert sorted(row.row for row in got.bad) == [3, 5]


def test_what_is_written_says_whose_it_is_and_ewc_reads_it(
    run: Run, registry: Registry, accelerator: Accelerator
) -> None:
    got = found(run, registry, accelerator, 6)
    file = write(run, got)
    assert file == run.folder / FISHER
    sha = run.manifest["files"]["model.safetensors"]
    with safe_open(file, "pt") as opened:
        assert opened.metadata() == {"rows": "6", "batch": "1", "sha256": sha}
    assert not list(run.folder.glob(".*partial"))
    listed = run.manifest
    run.write_json("manifest.json", listed | {"files": listed["files"] | {FISHER: sha256(file)}})
    write(run, found(run, registry, accelerator, 4))
    assert run.manifest == listed  # with the other one the run would be damaged
    write(run, got)
    read = Ewc(Earlier(str(run.folder), sha)).fisher
    assert all(torch.equal(read[name], value) for name, value in got.information.items())
    assert read.keys() == got.information.keys()


@pytest.mark.parametrize("objectives", [None, {"align": {"name": "contrastive", "hub": "text"}}])
def test_two_processes_find_what_one_does(
    objectives: Any, registry: Registry, torchrun: Any, tmp_path: Path
) -> None:
    changes = TASKS | ({} if objectives is None else {"objectives": objectives})
    run = train(recipe(changes), tmp_path / "run", registry=registry)
    both: list[dict[str, Tensor]] = []
    for ranks in (1, 2):
        done = torchrun(ranks, "-m", "fusion", "fisher", str(run.folder), "--rows", "18")
        assert done.returncode == 0, done.stderr
        assert f"{run.folder / FISHER} (18 rows, {1 if objectives is None else 6} at a time)" in done.stdout
        both.append(load_file(run.folder / FISHER))
    for name, value in both[0].items():
        torch.testing.assert_close(both[1][name], value, rtol=1e-4, atol=1e-10)


def test_other_rows_give_other_information(run: Run, python: Any) -> None:
    outputs = []
    for overrides in ([], ["sources.all.rows=9"]):
        done = python("-m", "fusion", "fisher", str(run.folder), *overrides)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert f"{run.folder / FISHER} (24 rows, 1 at a time)" in outputs[0]
    assert "(9 rows, 1 at a time)" in outputs[1]
    assert [line.split()[0] for line in outputs[0].splitlines()[1:9]] == [
        *(f"encoders.{name}" for name in ALL),
        *(f"align.{name}" for name in ALL),
        "fuser",
        "objectives.kind",
    ]
    refused = python("-m", "fusion", "fisher", str(run.folder), "width=9")
    assert refused.returncode == 2
    assert "width cannot change after training" in refused.stderr


def test_what_has_no_information_is_refused(run: Run, registry: Registry, accelerator: Accelerator) -> None:
    model = load(run, "cpu", registry).model

    def ask(changes: dict[str, Any], batch: int | None = None) -> None:
        fisher(model, complete(recipe(TASKS | changes), registry), registry, accelerator, 6, batch)

    with pytest.raises(DataError, match=r"sources\.all is a stream, which can only be trained on"):
        ask({"sources": {"all": {"name": "toy-stream"}}})
    torn = {"name": "toy", "view": ["image"], "rows": 3, "broken": [0, 1, 2]}
    with pytest.raises(DataError, match=r"no row can be read, such as row \d of 'all': image: torn"):
        ask({"sources": {"all": torn}})


def test_a_loss_that_compares_rows_has_none_of_a_single_row(
    registry: Registry, accelerator: Accelerator, tmp_path: Path
) -> None:
    made = recipe({"train.steps": 1, "objectives": {"align": {"name": "contrastive", "hub": "text"}}})
    pairs = train(made, tmp_path / "run", registry=registry)
    with pytest.raises(DataError, match=r"the losses have no gradient for these 10 rows, 1 at a time"):
        found(pairs, registry, accelerator, 10, batch=1)


@pytest.mark.parametrize("batch", [1, 6])
def test_rows_without_a_label_do_not_count(
    batch: int, run: Run, registry: Registry, accelerator: Accelerator
) -> None:
    def information(recipe: Recipe) -> Tensor:
        model = load(run, "cpu", registry).model
        model.merge()
        got = fisher(model, recipe, registry, accelerator, 24, batch)
        assert got.rows == 12
        return got.information["objectives.kind.head.1.bias"]

    half = {"name": "toy", "view": list(ALL), "rows": 12}
    pick = type(run.recipe.sources["all"])
    sources = {"known": pick(**half), "unknown": pick(**half, without=["label"])}
    alone = run.recipe.model_copy(update={"sources": {"known": pick(**half)}})
    if batch == 1:
        torch.testing.assert_close(
            information(run.recipe.model_copy(update={"sources": sources})), information(alone)
        )
    else:
        assert information(run.recipe.model_copy(update={"sources": sources})).isfinite().all()
