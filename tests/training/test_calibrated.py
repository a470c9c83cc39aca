"""A training that fits temperatures leaves them in its run; predictions and exports are made with them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusion_digits.source import Digits

from fusion import Recipe, Registry, Run, RunError, load, measure, read_recipe, train
from fusion.batch import Row
from fusion.evaluation.temperature import scaled
from fusion.export.export import export
from fusion.export.predict_torch import answer
from fusion.picks import shrink

HELD = {"held": {"name": "digits", "view": "image-audio-text", "split": "test", "limit": 30}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Run:
    data = shrink(read_recipe("bind_digits", registry=registry), registry).model_dump(mode="json")
    data["evaluate"] |= {"calibrate": HELD, "retrieval": []}
    out: Path = tmp_path_factory.mktemp("runs") / "calibrated"
    return train(Recipe(**data), out, registry=registry)


@pytest.fixture(scope="module")
def temperatures(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "calibration.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_the_run_keeps_them(run: Run, temperatures: dict[str, Any]) -> None:
    assert temperatures
    assert set(run.manifest["files"]) == {"recipe.yaml", "model.safetensors", "calibration.json"}
    for answered, temperature in temperatures.items():
        subset, _, task = answered.partition("/")
        assert task == "digit"
        assert run.metrics[f"subsets/{subset}/calibrated/temperature"] == temperature


def test_predictions_are_made_at_the_temperature_of_what_a_row_has(
    run: Run, temperatures: dict[str, Any], registry: Registry
) -> None:
    row = Digits(split="test")[0]
    warm, cold = load(run, registry=registry), load(run, registry=registry)
    cold.temperatures = {}
    given = [{"text": row["text"]}, {"image": row["image"], "audio": row["audio"]}]
    for number, answered in enumerate(["text/digit", "image+audio/digit"]):
        before, after = cold.predict(given)["digit"], warm.predict(given)["digit"]
        expected = scaled(before.score, temperatures[answered])[number]
        torch.testing.assert_close(after.score[number], expected)
        assert not torch.allclose(after.score[number], before.score[number])
        assert torch.equal(after.value, before.value)


def test_contributions_and_attributions_are_of_the_answers_that_are_predicted(
    run: Run, registry: Registry
) -> None:
    row = Digits(split="test")[0]
    predictor = load(run, registry=registry)
    predictor.temperatures = {"image/digit": 3.0, "audio/digit": 0.5, "image+audio/digit": 2.0}
    image, audio = {"image": row["image"]}, {"audio": row["audio"]}
    found = predictor.explain(image | audio, attribute=True)
    answer = predictor.predict(image | audio)["digit"]
    torch.testing.assert_close(found.answers["digit"].score, answer.score)
    chosen = int(answer.value)

    def worth(given: Row) -> float:
        return predictor.predict(given)["digit"].score[0, chosen].item()

    told, alone = found.contributions["digit"], [worth(image), worth(audio)]
    nothing, full = told.nothing.item(), worth(image | audio)
    parts = [(alone[one] - nothing + full - alone[1 - one]) / 2 for one in (0, 1)]
    assert [part.item() for part in told.parts.values()] == pytest.approx(parts, abs=1e-6)
    assert nothing + sum(part.item() for part in told.parts.values()) == pytest.approx(full, abs=1e-6)
    blank = worth({"image": row["image"] * 0})
    difference = found.attributions["digit"]["image"].difference
    assert difference == pytest.approx(alone[0] - blank, abs=1e-6)


def warmth(metrics: Mapping[str, Any]) -> dict[str, float]:
    key = "/calibrated/temperature"
    return {name.split("/")[1]: value for name, value in metrics.items() if name.endswith(key)}


def test_a_run_is_measured_at_its_temperatures_unless_others_are_to_be_fitted(
    run: Run, temperatures: dict[str, Any], registry: Registry
) -> None:
    kept = {answered.partition("/")[0]: value for answered, value in temperatures.items()}
    assert warmth(measure(run, ["evaluate.limit=5"], registry=registry)) == kept
    few = ["evaluate.limit=5", "evaluate.calibrate.held.limit=20"]
    fitted = warmth(measure(run, few, registry=registry))
    assert fitted["text"] != pytest.approx(kept["text"], rel=1e-3)
    predictor = load(run, registry=registry)
    predictor.temperatures = {"text/digit": 3.0}
    found = measure(predictor, ["evaluate.limit=5"], registry=registry)
    assert warmth(found) == {"text": 3.0}
    assert warmth(measure(predictor, few, registry=registry)) == pytest.approx(fitted)
    # rows that say what is known are read, and still none is fitted
    data = predictor.recipe.model_dump(mode="json")
    data["evaluate"] |= {"limit": 5, "foreign": {"other": HELD["held"] | {"split": "train"}}}
    predictor.recipe = Recipe(**data)
    found = measure(predictor, registry=registry)
    assert warmth(found) == {"text": 3.0}
    assert found["foreign/other/text/distance"] > 0


def test_so_are_the_answers_of_an_export(run: Run, registry: Registry, tmp_path: Path) -> None:
    made = export(run, "torch", tmp_path / "out", registry=registry)
    assert made.apart < 1e-5
    predictor = load(run, registry=registry)
    text = Digits(split="test")[0]["text"]
    processor = predictor.model.processors["text"]
    ids = processor.collate([processor.decode(text)])["ids"].numpy()
    found = answer(made.folder, {"rows": np.array(1), "text/at": np.array([0]), "text/ids": ids})
    expected = predictor.predict({"text": text})["digit"].score
    torch.testing.assert_close(torch.from_numpy(found["digit/score"]), expected, atol=1e-5, rtol=0)


def test_temperatures_that_were_changed_are_found_out(run: Run, registry: Registry) -> None:
    path = run.folder / "calibration.json"
    whole = path.read_bytes()
    try:
        path.write_text("{}")
        with pytest.raises(RunError, match=r"calibration\.json is missing or damaged"):
            load(run, registry=registry)
    finally:
        path.write_bytes(whole)


def test_a_run_without_has_none(tiny_run: Run, registry: Registry) -> None:
    assert not (tiny_run.folder / "calibration.json").exists()
    assert load(tiny_run, registry=registry).temperatures == {}
