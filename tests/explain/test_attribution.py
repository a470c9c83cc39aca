"""Integrated gradients: exact on what is linear, wherever an encoder can be attributed; others are named."""

import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Encoder, Encoding, Fuser, Model, Predictor, Processor, Run, RunError, load
from fusion.buckets import pack, restore, unpack
from fusion.data.collate import Collator
from fusion.explain.attribution import Attribution, attribute, telling
from fusion.explain.places import AttributionError
from fusion.fusers.mean import Mean
from tests.explain.toys import Plain, Told, Total, model

WEIGHT = torch.tensor(
    [[1.0, -2.0, 0.5, 0.0], [0.0, 3.0, 1.0, -1.0], [2.0, 0.0, 0.0, 1.0], [-1.0, 1.0, 4.0, 2.0]]
)
X = [1.0, 2.0, -1.0, 0.5]


class Linear(Encoder):
    """x W, of the floats that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = 4, Plain().processor

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(x @ WEIGHT)


class Shifted(Linear):
    """What is attributed is x + 3; of zeros it is 3."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 4, bias=False)
        self.net.weight = nn.Parameter(WEIGHT.T)

    def attributed(self) -> nn.Module:
        return self.net

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.net(x + 3))


class Letters(Processor):
    def decode(self, raw: Any) -> list[int]:
        return [ord(letter) - ord("a") for letter in raw]

    def collate(self, samples: Sequence[list[int]]) -> dict[str, Tensor]:
        return {"ids": torch.tensor(samples)}

    def pieces(self, sample: list[int]) -> list[str]:
        return [chr(ord("a") + number) for number in sample]


class Spelled(Linear):
    """The mean of embedded letters and of where they stand, times W. Places are embedded first."""

    def __init__(self) -> None:
        super().__init__()
        self.processor = Letters()
        self.places, self.letters = nn.Embedding(9, 4), nn.Embedding(26, 4)

    def forward(self, ids: Tensor) -> Encoding:
        places = self.places(torch.arange(ids.shape[1]) + 1)
        return super().forward((self.letters(ids) + places).mean(1))


class Twice(Spelled):
    """Embeds the letters, and then the first of them again."""

    def forward(self, ids: Tensor) -> Encoding:
        own = super().forward(ids).pooled
        return Encoding(own + self.letters(ids[:, :1])[:, 0] @ WEIGHT)


class Bucketed(Letters):
    """Hands its rows over from the last to the first, as buckets may."""

    def collate(self, samples: Sequence[list[int]]) -> dict[str, Tensor]:
        rows = list(reversed(range(len(samples))))
        return pack([rows], [{"ids": torch.tensor([samples[row] for row in rows]).float()}])


class Packed(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.processor = Bucketed()

    def forward(self, order: Tensor, **buckets: Tensor) -> Encoding:
        return restore(order, [Encoding(part["ids"] @ WEIGHT) for part in unpack(buckets)])


class Counts(Spelled):
    """Reads whole numbers, and embeds none."""

    def forward(self, ids: Tensor) -> Encoding:
        return Encoding(nn.functional.one_hot(ids, 4).float().mean(1))


class Detached(Linear):
    def forward(self, x: Tensor) -> Encoding:
        return Encoding((x @ WEIGHT).detach())


class Transposed(Linear):
    """Its rows stand second where it is to be attributed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Identity()

    def attributed(self) -> nn.Module:
        return self.net

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.net(x.T).T @ WEIGHT)


def attributed(encoder: Encoder, raw: Any, classes: bool = True, fuser: type[Fuser] = Total) -> Attribution:
    """How the largest number of the fused vector splits over the input of the audio, beside an image."""
    encoders = {"image": Plain(), "text": Plain(), "audio": encoder}
    made = model(fuser(tuple(encoders), 4), {"it": Told(classes)}, encoders)
    sample = Collator(made.processors, {}).decode({"image": [9.0, 0, 0, 0], "audio": raw})
    fused = _alone(made, encoder, raw)
    return attribute(made, sample, "audio", telling(made.tasks["it"], fused))


def _alone(made: Model, encoder: Encoder, raw: Any) -> Tensor:
    with torch.no_grad():
        return encoder(**encoder.processor.collate([encoder.processor.decode(raw)])).pooled


@pytest.mark.parametrize("classes", [True, False])
def test_of_a_linear_model_it_is_the_weight_times_the_input_less_the_baseline(classes: bool) -> None:
    x = torch.tensor(X)
    best = int((x @ WEIGHT).argmax())
    found = attributed(Linear(), X, classes)
    torch.testing.assert_close(found.values, WEIGHT[:, best] * x)
    torch.testing.assert_close(found.given, x)
    assert found.difference == pytest.approx(float((x @ WEIGHT)[best]), abs=1e-6)
    assert found.error < 1e-6


def test_a_module_is_attributed_from_what_zeros_give_there() -> None:
    x = torch.tensor(X)
    best = int(((x + 3) @ WEIGHT).argmax())
    found = attributed(Shifted(), X)
    torch.testing.assert_close(found.given, x + 3)
    torch.testing.assert_close(found.values, WEIGHT[:, best] * x)  # x + 3 less 3


def test_tokens_are_attributed_at_their_embedding_whichever_is_called_first() -> None:
    torch.manual_seed(0)
    encoder = Spelled()
    found = attributed(encoder, "cab")
    best = int(_alone(model(Total(("audio",), 4), {}, {"audio": encoder}), encoder, "cab").argmax())
    expected = encoder.letters.weight[[2, 0, 1]] @ WEIGHT[:, best] / 3
    torch.testing.assert_close(found.values, expected.detach())
    assert found.pieces == ("c", "a", "b")
    assert found.error < 1e-5


def test_an_embedding_that_is_read_again_is_attributed_where_it_reads_the_tokens() -> None:
    torch.manual_seed(0)
    encoder = Twice()
    found = attributed(encoder, "cab")
    best = int(_alone(model(Total(("audio",), 4), {}, {"audio": encoder}), encoder, "cab").argmax())
    expected = encoder.letters.weight[[2, 0, 1]] @ WEIGHT[:, best] / 3
    torch.testing.assert_close(found.values, expected.detach())


def test_the_other_modalities_of_the_row_are_absent() -> None:
    x = torch.tensor(X)
    found = attributed(Linear(), X, fuser=Mean)  # of one, not of three
    torch.testing.assert_close(found.values, WEIGHT[:, int((x @ WEIGHT).argmax())] * x)


def test_rows_in_buckets_are_attributed_as_those_in_order() -> None:
    found = attributed(Packed(), "bcab")
    ids = torch.tensor([1.0, 2.0, 0.0, 1.0])
    torch.testing.assert_close(found.values, WEIGHT[:, int((ids @ WEIGHT).argmax())] * ids)


@pytest.mark.parametrize(
    ("encoder", "raw", "message"),
    [
        (
            Counts(),
            "cab",
            r"encoders\.audio \(test\) reads neither floats nor tokens through an nn\.Embedding",
        ),
        (Detached(), X, r"encoders\.audio \(test\): no gradient leads from the answer to its input"),
        (
            Transposed(),
            X,
            r"encoders\.audio \(test\) has \(4, 4\) where \(4, 1\) are attributed: rows have to come first",
        ),
    ],
)
def test_what_cannot_be_attributed_is_named(encoder: Encoder, raw: Any, message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        attributed(encoder, raw)


def test_without_captum_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(RunError, match=r"pip install 'fusion-bind\[explain\]'"):
        attributed(Linear(), X)


def test_a_run_is_attributed_from_black_and_silence_and_the_rest_of_the_row_is_not_shown(
    tiny_run: Run, row: dict[str, Any]
) -> None:
    predictor: Predictor = load(tiny_run, "cpu")
    found = predictor.explain(row, attribute=True).attributions["digit"]
    assert {name: tuple(part.values.shape) for name, part in found.items()} == {
        "image": (3, 16, 16),
        "text": (len(row["text"]),),
        "audio": (16, 101),
    }
    assert found["text"].pieces == tuple(row["text"])
    answer = int(predictor.predict(row)["digit"].value)
    for name, blank in {"image": row["image"] * 0, "audio": (row["audio"][0] * 0, row["audio"][1])}.items():
        given, nothing = (predictor.predict({name: raw})["digit"].score for raw in (row[name], blank))
        assert found[name].difference == pytest.approx(float((given - nothing)[0, answer]), abs=1e-6)
    for part in found.values():
        assert abs(float(part.values.double().sum()) - part.difference) == pytest.approx(part.error, abs=1e-6)
    assert found["image"].error < 1e-5
    assert found["audio"].error < 1e-3
