"""A smaller run is made whole or not at all, and gives what the compressed model gave, to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fusion import PluginError, Predictor, Registry, Run, RunError, compress, load
from fusion.recipe.picks import Pick
from fusion.shrink.apply import apply, choose
from fusion.shrink.rebuild import applied, rebuild
from fusion.training.verify import verify

LOW_RANK = Pick.model_validate({"name": "low-rank", "energy": 0.6})
HALVES = Pick(name="halves")
RNG = np.random.default_rng(0)
ROWS = [
    {name: RNG.standard_normal(4) for name in names}
    for names in (["image", "text", "audio"], ["image", "text"], ["text", "audio"], ["image"], ["audio"])
]


def weights(**options: float) -> Pick:
    return Pick.model_validate({"name": "weights", **options})


@pytest.fixture(scope="module")
def smaller(full: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run with low rank and then halves. Do not write into it."""
    place = tmp_path_factory.mktemp("smaller") / "run"
    made = compress(full, place, chosen=[LOW_RANK, HALVES], max_drop=1, registry=registry)
    assert made.run is not None
    return made.run


def test_what_is_restored_is_the_compressed_model_to_the_bit(
    full: Run, smaller: Run, registry: Registry
) -> None:
    model = rebuild(full, registry)
    done = apply(model, choose([LOW_RANK, HALVES], registry))
    expected = Predictor(model, full.recipe).encode(ROWS)
    found = load(smaller, "cpu", registry).encode(ROWS)
    assert expected.vectors.keys() == {"image", "text", "audio"}
    for name, vectors in expected.vectors.items():
        assert torch.equal(found.vectors[name], vectors)
    assert torch.equal(found.fused, expected.fused)
    assert [one.name for one in done] == ["low-rank", "halves"]
    assert applied(smaller) == done
    assert not torch.equal(found.fused, load(full, "cpu", registry).encode(ROWS).fused)


def test_it_is_a_run_like_any_other(full: Run, smaller: Run, registry: Registry) -> None:
    assert {"compression.json", "model.safetensors"} <= verify(smaller, registry).files.keys()
    assert verify(smaller, registry).whole
    assert smaller.manifest["compressed"]["run"] == str(full.folder)
    assert smaller.manifest["plugins"].keys() == {"builtin", "toy", "small"}
    assert smaller.recipe.name == "toy-compressed"
    assert smaller.metrics["evaluate/rows"] == 30
    assert smaller.metrics["retrieval/image->audio/emergent"] is True
    types = {value.dtype for value in load_file(smaller.model_file).values()}
    assert types == {torch.float16, torch.float32}


def test_the_table_is_in_the_folder_and_on_the_page(full: Run, smaller: Run) -> None:
    record = smaller.read_json("comparison.json")
    lines = {line["key"]: line for line in record["lines"]}
    assert lines["file/bytes"]["before"] == full.model_file.stat().st_size
    assert lines["file/bytes"]["after"] == smaller.model_file.stat().st_size
    assert lines["subsets/image+text+audio/accuracy"]["kept"] is True
    assert lines["retrieval/image->audio/recall@1"].keys() == {"key", "before", "after", "kept"}
    assert lines["one row/p95 ms"]["after"] >= lines["one row/p50 ms"]["after"] > 0
    assert [one["name"] for one in record["by"]] == ["low-rank", "halves"]
    page = smaller.report.read_text("utf-8")
    assert "Made smaller" in page
    assert "low-rank (energy 0.6), halves" in page
    assert "<h1>run</h1>" in page


def test_the_order_is_the_one_that_was_given(full: Run, registry: Registry, tmp_path: Path) -> None:
    key = "align.text.project.weight"
    before = load_file(full.model_file)[key]
    for first, second, expected in (
        (weights(times=2), weights(plus=1), before * 2 + 1),
        (weights(plus=1), weights(times=2), (before + 1) * 2),
    ):
        place = tmp_path / str(first.options)
        made = compress(full, place, chosen=[first, second], max_drop=1, registry=registry)
        assert made.run is not None
        assert torch.equal(load_file(made.run.model_file)[key], expected)


def test_a_compressed_run_can_be_compressed_again(smaller: Run, registry: Registry, tmp_path: Path) -> None:
    made = compress(smaller, tmp_path / "again", chosen=[weights(times=2)], max_drop=1, registry=registry)
    assert made.run is not None
    assert [one.name for one in applied(made.run)] == ["low-rank", "halves", "weights"]
    load(made.run, "cpu", registry)


def test_what_does_not_pass_is_not_kept(full: Run, registry: Registry, tmp_path: Path) -> None:
    made = compress(full, tmp_path / "run", chosen=[weights(times=0)], registry=registry)
    assert made.run is None
    assert any("accuracy is worse by" in said for said in made.worse)
    assert [line["key"] for line in made.record["lines"] if line["kept"] is False]
    assert list(tmp_path.iterdir()) == []


def test_only_the_metrics_that_are_named_decide(full: Run, registry: Registry, tmp_path: Path) -> None:
    key = "retrieval/image->text/queries"
    made = compress(full, tmp_path / "run", chosen=[weights(times=0)], metrics=[key], registry=registry)
    assert made.run is not None
    assert [line["key"] for line in made.record["lines"] if line["kept"] is not None] == [key]


@pytest.mark.parametrize(("at", "recover"), [(-1, 0), (2, 4)])
def test_an_interrupt_leaves_nothing(
    full: Run, registry: Registry, tmp_path: Path, at: int, recover: int
) -> None:
    before = {path: path.read_bytes() for path in full.folder.rglob("*") if path.is_file()}
    chosen = [weights(times=2, interrupted_at=at)]
    with pytest.raises(KeyboardInterrupt, match="the run is as it was, and nothing new was kept"):
        compress(full, tmp_path / "deep" / "run", chosen=chosen, recover=recover, registry=registry)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in full.folder.rglob("*") if path.is_file()} == before


def test_a_failure_leaves_nothing(full: Run, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"weights: nothing would change$"):
        compress(full, tmp_path / "run", chosen=[weights()], registry=registry)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_is_left_alone(full: Run, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RunError, match="exists; continue it with --resume, or choose another --out"):
        compress(full, tmp_path, chosen=[HALVES], registry=registry)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_unknown_metric_is_told(full: Run, registry: Registry, tmp_path: Path) -> None:
    key = "subsets/image/acuracy"
    with pytest.raises(RunError, match=r"unknown metric .*did you mean 'subsets/image/accuracy'\?"):
        compress(full, tmp_path / "run", chosen=[HALVES], metrics=[key], registry=registry)


def test_without_rows_nothing_can_be_judged(full: Run, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing is measured by which a smaller model could be judged"):
        compress(
            full, tmp_path / "run", chosen=[HALVES], overrides=["evaluate.sources={}"], registry=registry
        )


def test_the_plugin_of_a_stranger_that_is_gone_is_named(smaller: Run, toy: object) -> None:
    registry = Registry(plugins={"toy": toy})  # type: ignore[dict-item]
    with pytest.raises(PluginError, match=r"unknown compression 'halves'; known: .*low-rank") as raised:
        load(smaller, "cpu", registry)
    used, gone = str(raised.value).splitlines()[1].split("; ")
    assert "was trained with these plugins: builtin (fusion), small (given in Python), toy" in used
    assert gone == "not here: small (given in Python)"
