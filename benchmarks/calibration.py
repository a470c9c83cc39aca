"""How far a run's probabilities can be trusted, with and without temperatures, and if it knows foreign rows.

    FUSION_DATA=DIR python benchmarks/calibration.py RUN NOISE

Every second row of the test digits is held back for the temperatures, the others are measured. Foreign are
pictures of clothes (Fashion-MNIST) and sounds of the surroundings (ESC-10).
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fusion_digits.source import Digits

from fusion import Component, Registry, hookimpl, measure

HALF = "{{name: digits-half, odd: {odd}, noise: {noise}}}"
CLOTHES = "{{name: datasets, data: {data}/fashion_mnist.npz, columns: {{image: x_test}}}}"
SOUNDS = "{{name: datasets, data: {data}/esc10.parquet, columns: {{audio: audio}}}}"


class Half:
    """The odd rows of the test digits, or the even ones."""

    def __init__(self, *, odd: bool, noise: float) -> None:
        self.odd, self.digits = odd, Digits(split="test", noise=noise)

    def __len__(self) -> int:
        return len(self.digits) // 2

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.digits[2 * index + self.odd]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("digits-half", Half)]


def main(run: str, noise: str) -> None:
    torch.set_num_threads(1)
    data = os.environ["FUSION_DATA"]
    overrides = [
        f"evaluate.sources={{test: {HALF.format(odd=True, noise=noise)}}}",
        f"evaluate.calibrate={{held: {HALF.format(odd=False, noise=noise)}}}",
        f"evaluate.foreign={{clothes: {CLOTHES.format(data=data)}, sounds: {SOUNDS.format(data=data)}}}",
        *("evaluate.retrieval=[]", "evaluate.zero_shot=null", "evaluate.limit=400"),
    ]
    found = measure(Path(run), overrides, registry=Registry(plugins={"half": sys.modules[__name__]}))
    print("| given | rows | accuracy | ece | ece at T | nll | nll at T | aurc | T |\n|---" + 8 * "|--:" + "|")
    for key in [key for key in found if key.startswith("subsets/") and key.endswith("/ece")]:
        if "calibrated" in key:
            continue
        subset = key.removesuffix("/ece")
        names = (
            "accuracy",
            "ece",
            "calibrated/ece",
            "nll",
            "calibrated/nll",
            "aurc",
            "calibrated/temperature",
        )
        numbers = [found.get(f"{subset}/{name}") for name in names]
        written = ["" if number is None else f"{number:.3f}" for number in numbers]
        print("|", " | ".join([subset.removeprefix("subsets/"), str(found[f"{subset}/rows"]), *written]), "|")
    print("\n| foreign | given | rows | energy | confidence | distance |\n|---|---|--:|--:|--:|--:|")
    for key in [key for key in found if key.startswith("foreign/") and key.endswith("/rows")]:
        _, name, subset, _ = key.split("/")
        ways = [found.get(f"foreign/{name}/{subset}/{way}") for way in ("energy", "confidence", "distance")]
        written = ["" if number is None else f"{number:.1%}" for number in ways]
        print("|", " | ".join([name, subset, str(found[key]), *written]), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
