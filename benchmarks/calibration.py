"""How far a run's probabilities can be trusted, with and without temperatures, and if it knows foreign rows.

    FUSION_DATA=DIR python benchmarks/calibration.py RUN FOREIGN[,FOREIGN] [SCRIPT.py] [OPTION=VALUE ...]

Every second row of the run's first evaluation source is held back for temperatures, the others are measured,
a thousand at most; OPTION is one of that source, such as noise=0.3, SCRIPT a file that offers it. Foreign are
clothes (Fashion-MNIST), digits (MNIST), sounds (of the surroundings, ESC-10).
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fusion import Component, Registry, Run, hookimpl, measure
from fusion.build import build_tables
from fusion.recipe.file import run_script
from fusion.recipe.picks import Pick
from fusion.recipe.text import parse

REGISTRY = Registry()
FOREIGN = {
    "clothes": "{{name: datasets, data: {data}/fashion_mnist.npz, columns: {{image: x_test}}}}",
    "digits": "{{name: datasets, data: {data}/mnist.npz, columns: {{image: x_test}}}}",
    "sounds": "{{name: datasets, data: {data}/esc10.parquet, columns: {{audio: audio}}}}",
}
NUMBERS = "accuracy", "ece", "calibrated/ece", "nll", "calibrated/nll", "aurc", "calibrated/temperature"
WAYS = "energy", "confidence", "distance"


class Half:
    """The odd rows of a source, or the even ones."""

    def __init__(self, *, odd: bool, of: dict[str, Any]) -> None:
        self.odd, self.whole = odd, build_tables({"whole": Pick(**of)}, REGISTRY)["whole"]

    def __len__(self) -> int:
        return len(self.whole) // 2

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.whole[2 * index + self.odd]


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("half", Half)]


def main(folder: str, foreign: str, *rest: str) -> None:
    torch.set_num_threads(1)
    REGISTRY.add("half", sys.modules[__name__])
    options: dict[str, Any] = {}
    for given in rest:
        if given.endswith(".py"):
            run_script(Path(given), REGISTRY)
        else:
            options |= parse(given.replace("=", ": ", 1), given)[0]
    first = next(iter(Run(folder).recipe.evaluate.sources.values()))
    whole = json.dumps(first.model_dump(mode="json") | options)
    strange = [
        f"{name}: {FOREIGN[name].format(data=os.environ['FUSION_DATA'])}" for name in foreign.split(",")
    ]
    overrides = [
        f"evaluate.sources={{test: {{name: half, odd: true, of: {whole}}}}}",
        f"evaluate.calibrate={{held: {{name: half, odd: false, of: {whole}}}}}",
        f"evaluate.foreign={{{', '.join(strange)}}}",
        *("evaluate.retrieval=[]", "evaluate.zero_shot=null", "evaluate.limit=1000"),
    ]
    found = measure(folder, overrides, registry=REGISTRY)
    print("| given | rows | accuracy | ece | ece at T | nll | nll at T | aurc | T |\n|---" + 8 * "|--:" + "|")
    for key in [key for key in found if key.startswith("subsets/") and key.endswith("/ece")]:
        if "calibrated" in key:
            continue
        subset = key.removesuffix("/ece")
        numbers = [found.get(f"{subset}/{name}") for name in NUMBERS]
        written = ["" if number is None else f"{number:.3f}" for number in numbers]
        print("|", " | ".join([subset.removeprefix("subsets/"), str(found[f"{subset}/rows"]), *written]), "|")
    print("\n| foreign | given | rows | energy | confidence | distance |\n|---|---|--:|--:|--:|--:|")
    for key in [key for key in found if key.startswith("foreign/") and key.endswith("/rows")]:
        _, name, subset, _ = key.split("/")
        ways = [found.get(f"foreign/{name}/{subset}/{way}") for way in WAYS]
        written = ["" if number is None else f"{number:.1%}" for number in ways]
        print("|", " | ".join([name, subset, str(found[key]), *written]), "|")


if __name__ == "__main__":
    main(*sys.argv[1:])
