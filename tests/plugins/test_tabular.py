"""Tables: what is known of columns, how cells become tokens, and what a missing or unknown cell is."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import click
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_tabular.block import Block
from fusion_tabular.cells import category, number, written
from fusion_tabular.columns import MISSING, UNKNOWN, describe, read
from fusion_tabular.encoder import FTTransformer
from fusion_tabular.flowers import Flowers
from fusion_tabular.tokenizer import Tokenizer

from fusion import DataError, Recipe, Registry, load, train
from fusion.cli.arguments import row_of
from fusion.gate import Gate, MisshapenError
from fusion.testing import check_encoder

NUMERIC = {"age": (40.0, 10.0), "fare": (0.0, 2.0)}
WORDS = {"port": ["Cherbourg", "Southampton"], "deck": ["1", "2", "3"]}
SMALL: dict[str, Any] = {"dim": 8, "heads": 2, "layers": 2}


def test_the_contract_holds_with_numbers_words_and_both() -> None:
    rows = [
        {"age": 30, "port": "Cherbourg"},
        {"age": None, "fare": 3.5, "port": "Rome"},
        {"fare": 1, "deck": 2},
    ]
    assert check_encoder(FTTransformer, rows, numeric=NUMERIC, categories=WORDS, **SMALL)
    assert check_encoder(FTTransformer, [{"age": 1}, {"fare": 2.0}], numeric=NUMERIC, **SMALL)
    assert check_encoder(FTTransformer, [{"deck": 1}, {"port": "x"}], categories=WORDS, **SMALL)


def test_cells_are_read_by_what_the_training_has() -> None:
    cells = read({"age": 60, "port": "Southampton", "deck": 3.0, "name": "unread"}, NUMERIC, WORDS)
    assert cells.numbers[0] == 2.0
    assert np.isnan(cells.numbers[1])
    assert cells.ids == [2, 3]
    assert read({"port": "Rome", "fare": np.float32(4)}, NUMERIC, WORDS).ids == [UNKNOWN, MISSING]


def test_none_nan_and_an_empty_word_are_missing_and_whole_numbers_are_words() -> None:
    assert all(np.isnan(number("age", cell)) for cell in (None, float("nan"), "", np.float64("nan")))
    assert [category("deck", cell) for cell in (None, "", float("nan"))] == [None, None, None]
    assert {category("deck", cell) for cell in (1, 1.0, "1", np.int64(1))} == {"1"}
    assert category("deck", 1.5) == "1.5"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (" 38.5 ", 38.5),
        ("1e3", 1000.0),
        (Decimal("2.25"), 2.25),
        (True, 1.0),
        (np.int16(7), 7.0),
        ("-inf", float("-inf")),
        (10**400, float("inf")),
        (date(1970, 1, 11), 10.0),
        (datetime(1970, 1, 2, 12), 1.5),
        (datetime(1970, 1, 2, 12, tzinfo=timezone(timedelta(hours=12))), 1.0),
        (datetime(2024, 2, 29, tzinfo=UTC), 19782.0),
        ("2024-02-29", 19782.0),
        ("2024-02-29T18:00:00Z", 19782.75),
        (np.datetime64("2024-02-29"), 19782.0),
        (timedelta(hours=6), 0.25),
        ("007", None),
        ("old", None),
        ([1.0], None),
        (np.zeros(2), None),
    ],
)
def test_a_number_is_one_however_it_is_written(cell: Any, value: float | None) -> None:
    assert written(cell) == value


@pytest.mark.parametrize(
    "cell", [None, "", " ", "NA", "nan", "NaT", "null", np.float32("nan"), Decimal("NaN")]
)
def test_what_files_write_for_a_missing_number_is_none(cell: Any) -> None:
    assert np.isnan(number("age", cell))


def test_a_column_of_numbers_as_texts_and_one_of_dates_are_numbers_and_codes_are_words() -> None:
    rows = [
        {"age": "20", "born": "2004-02-29", "since": date(2024, 1, day), "code": code, "port": "NA"}
        for day, code in ((1, "007"), (3, "007"))
    ]
    found = describe(rows)
    assert found.numeric == {"age": (20.0, 1.0), "born": (12477.0, 1.0), "since": (19724.0, 1.0)}
    assert found.categories == {"code": ["007"]}  # a column of nothing but missing numbers is left out
    cells = read({"age": 21, "born": date(2004, 3, 1), "since": None, "code": "007"}, *found)
    assert cells.numbers[:2] == [1.0, 1.0]


def test_a_mean_far_from_zero_is_written_to_a_millionth_of_the_deviation() -> None:
    rows = [{"seconds": 1_700_000_000 + value} for value in (0, 2)]
    assert describe(rows).numeric == {"seconds": (1_700_000_001.0, 1.0)}


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            [1, "2", "old"],
            "column age holds numbers, and 'old' or such in 1 of 3 cells: empty these, or name",
        ),
        ([1, [2]], "column age holds list; numbers, dates and words are read, so leave it out"),
        ([np.zeros(2), np.zeros(2)], "column age holds ndarray"),
        ([float("inf")], "column age has no mean: its numbers are infinite, or too large"),
        ([1e308, 1.7e308], "column age has no mean"),
    ],
)
def test_a_column_that_would_be_lost_is_an_error_before_the_training(cells: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        describe({"age": cell} for cell in cells)
    assert describe(({"age": cell} for cell in [1, "2", "old"]), {"age"}).categories == {"age": ["1"]}


def test_rows_that_are_none_are_told_by_the_first() -> None:
    options: dict[str, Any] = {"numeric": None, "categories": None, "words": None}
    with pytest.raises(
        DataError, match=r"the first for this reason: a row of a table is a mapping .*, not list"
    ):
        FTTransformer.fit([[1], "two"], options)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1, 2], "a mapping from columns to cells, not list"),
        ({"age": "old"}, "column age is a number in the training, and here 'old'"),
        ({"age": float("inf")}, "column age is inf"),
        ({"age": "-Infinity"}, "column age is -inf"),
        ({"age": 1e300}, r"column age is 1e\+300, 1e\+299 deviations from the mean of the training"),
        ({"port": ["a"]}, "column port is a category, a word or a number, and here list"),
        ({"name": "Ann"}, "a cell in none of age, fare, port, deck; its columns are name"),
        ({"age": None, "port": ""}, "a cell in none of"),
        (dict.fromkeys(range(10_001), 1), "a row of 10,001 columns; at most 10,000"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(row, NUMERIC, WORDS)


def test_columns_are_described_by_the_rows_of_the_training() -> None:
    rows = [
        {"age": 20, "port": "B", "deck": 1, "same": 5.0},
        {"age": 40, "port": "A", "deck": 2, "same": 5.0},
        {"age": None, "port": "A", "deck": 2, "same": 5.0},
        {"age": 60, "port": "once", "deck": 1},
        "no row",
    ]
    found = describe(rows, {"deck"})
    assert found.numeric == {"age": (40.0, 16.3299), "same": (5.0, 1.0)}  # the root of 800 / 3
    assert found.categories == {"port": ["A"], "deck": ["1", "2"]}  # words that are there once are unknown


def test_what_the_recipe_says_of_columns_is_not_fitted() -> None:
    rows = [{"age": 20, "fare": 1}, {"age": 40, "fare": 3}]
    options: dict[str, Any] = {"numeric": {"fare": (0.0, 1.0)}, "categories": None, "words": ["age"]}
    found = FTTransformer.fit(rows, options)
    assert found["numeric"] == {}
    assert found["categories"] == {"age": ["20"]}
    assert FTTransformer.fit(rows, {"numeric": {}, "categories": {}, "words": None}) == {}


def test_options_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="none could be read"):
        FTTransformer()
    with pytest.raises(ValueError, match="age cannot be both numbers and categories"):
        FTTransformer(numeric={"age": (0.0, 1.0)}, categories={"age": ["1"]})
    with pytest.raises(ValueError, match=r"dim \(9\) must be divisible by heads \(2\)"):
        FTTransformer(numeric={"age": (0.0, 1.0)}, dim=9, heads=2)


def test_a_token_is_the_bias_and_the_number_times_its_direction_or_the_embedding() -> None:
    made = Tokenizer(2, [2], 2)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        made.bias.copy_(torch.tensor([[0.5, 0.5], [0.0, 1.0], [10.0, 20.0]]))
        made.missing.copy_(torch.tensor([[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]]))
        made.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    x, known = torch.tensor([[2.0, -1.0], [0.0, 1.0]]), torch.tensor([[True, True], [False, True]])
    ids, named = torch.tensor([[2], [0]]), torch.tensor([[True], [False]])
    expected = [[[2.5, 4.5], [-3.0, -3.0], [12.0, 22.0]], [[7.5, 7.5], [3.0, 5.0], [19.0, 29.0]]]
    assert made(x, known, ids, named).tolist() == expected


def test_unknown_and_missing_begin_as_the_bias_of_their_column() -> None:
    torch.manual_seed(0)
    made = Tokenizer(1, [3, 2], 4)
    ids = torch.tensor([[UNKNOWN, 0]])
    tokens = made(torch.tensor([[0.0]]), torch.tensor([[False]]), ids, torch.tensor([[True, False]]))
    assert torch.equal(tokens[0], made.bias)
    assert made.starts.tolist() == [0, 4]  # words 1 to 3 and 1 to 2, each after the unknown one
    assert made.weight.abs().max() <= 0.5
    assert made.embedding.weight[1:4].abs().min() > 0


def test_a_block_is_that_of_the_paper() -> None:
    """Against torch's own attention, with the weights of the block."""
    torch.manual_seed(0)
    block, x = Block(6, 2, 0.0, first=False), torch.randn(3, 4, 6)
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(block.query_key_value.weight)
        theirs.in_proj_bias.copy_(block.query_key_value.bias)
        theirs.out_proj.load_state_dict(block.out.state_dict())
    normed = F.layer_norm(x, (6,))
    seen = x + theirs(normed, normed, normed)[0]
    wide = F.layer_norm(seen, (6,)) @ block.widen.weight.T + block.widen.bias  # 16 numbers: 8 and 8
    mixed = (wide[..., :8].clamp(min=0) * wide[..., 8:]) @ block.narrow.weight.T + block.narrow.bias
    torch.testing.assert_close(block(x), seen + mixed)
    first = Block(6, 2, 0.0, first=True)
    assert isinstance(first.attention_norm, torch.nn.Identity)


def test_a_number_that_is_just_let_in_gives_finite_vectors() -> None:
    torch.manual_seed(0)
    encoder = FTTransformer(numeric={"age": (0.0, 1.0)}, **SMALL).eval()
    cells = [encoder.processor.decode({"age": 9e14}), encoder.processor.decode({"age": -9e14})]
    assert encoder(**encoder.processor.collate(cells)).pooled.isfinite().all()


def test_the_order_of_columns_in_a_row_and_other_columns_do_not_matter() -> None:
    torch.manual_seed(0)
    encoder = FTTransformer(numeric=NUMERIC, categories=WORDS, **SMALL).eval()
    rows = [{"port": "Cherbourg", "age": 30.0}, {"extra": 1, "age": 30.0, "fare": None, "port": "Cherbourg"}]
    inputs = encoder.processor.collate([encoder.processor.decode(row) for row in rows])
    assert len(inputs) == 4
    assert all(torch.equal(part[0], part[1]) for part in inputs.values())
    assert encoder(**inputs).tokens.shape == (2, 4, 8)


def test_a_missing_cell_is_not_its_mean() -> None:
    torch.manual_seed(0)
    encoder = FTTransformer(numeric=NUMERIC, **SMALL).eval()
    torch.nn.init.ones_(encoder.tokenizer.missing)
    cells = [encoder.processor.decode({"age": 40.0, "fare": fare}) for fare in (0.0, None)]
    mean, missing = encoder(**encoder.processor.collate(cells)).pooled
    assert (mean - missing).abs().max() > 1e-3


def test_table_text_and_image_are_learned_with_any_of_them_absent(tmp_path: Any) -> None:
    recipe = Recipe(
        sources={"all": {"name": "flowers"}, "blind": {"name": "flowers", "without": ["image", "text"]}},
        encoders={
            "table": {"name": "ft-transformer", "dim": 16, "layers": 1, "heads": 2},
            "text": {"name": "scratch-text", "dim": 16, "layers": 1},
            "image": {"name": "scratch-image", "size": 16, "dim": 16},
        },
        width=16,
        fuser={"name": "gate", "modality_dropout": 0.3},
        objectives={"kind": {"name": "classify", "classes": 3}},
        train={"steps": 60, "batch": 32, "lr": 5e-3},
        evaluate={"sources": {"test": {"name": "flowers", "split": "test", "rows": 200}}, "retrieval": []},
    )
    run = train(recipe, tmp_path / "run", registry=Registry())
    assert run.metrics["subsets/table/accuracy"] > 0.7
    assert run.metrics["subsets/table+text+image/accuracy"] > 0.7
    options = run.recipe.encoders["table"].options
    assert set(options["categories"]["colour"]) == {"white", "red", "blue"}
    heights = [row["table"].get("height") for row in map(Flowers().__getitem__, range(600)) if "table" in row]
    known = [height for height in heights if height is not None]
    assert options["numeric"]["height"] == [
        pytest.approx(np.mean(known), rel=1e-5),
        pytest.approx(np.std(known), rel=1e-5),
    ]
    row = Flowers(split="test")[0]
    model = load(run)
    bare = model.predict({"table": {**row["table"], "colour": "never seen", "height": None}})
    assert bare["kind"].score.isfinite().all()

    given = {"table": {"record": dict(row["table"])}}  # as a stranger gives it
    let_in = Gate(model.model.processors).row(given)
    score = model.predict({"table": row["table"]})["kind"].score
    assert torch.equal(model.predict(let_in)["kind"].score, score)
    with pytest.raises(MisshapenError, match=r"^table: given as a text"):
        Gate(model.model.processors).row({"table": "/etc/passwd"})

    read = row_of(["--table", json.dumps(dict(row["table"])), "--text", "{}"], model.model.processors)
    assert read == {"table": row["table"], "text": "{}"}
    for torn in ("{", "[1]", "rows.csv"):
        with pytest.raises(click.UsageError, match=r"--table takes cells by column as JSON, such as"):
            row_of([f"--table={torn}"], model.model.processors)
