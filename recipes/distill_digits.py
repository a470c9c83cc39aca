"""A student that hears digits, few of them with a label, learns from a teacher that sees them.

FUSION_DATA=DIR python recipes/distill_digits.py    # a teacher, runs/seeing, then all students

The teacher learned MNIST with all labels; the pairs are those of avdigits: noisy scans and recordings, put
together by their digit, so that a pair tells what the sound is as far as the teacher reads it off the scan.
"""

import runpy
from itertools import product
from typing import Any

from fusion import Component, Recipe, Registry, hookimpl, read_recipe, train

SHARES, SEEDS, TASK = (0.01, 0.05, 0.2), (0, 1, 2), {"name": "classify", "classes": 10}
STUDENTS: dict[str, dict[str, dict[str, Any]]] = {
    "labels": {"digit": TASK},
    "distill-labels": {"digit": {**TASK, "name": "distill-labels", "soft": "teacher/tasks/digit"}},
    "distill": {"digit": TASK, "near": {"name": "distill"}},
    "distill-relations": {"digit": TASK, "near": {"name": "distill-relations"}},
    "distill-contrast": {"digit": TASK, "near": {"name": "distill-contrast"}},
}


class Heard:
    """The first share of the pairs, with labels, or the rest of them without."""

    def __init__(self, *, split: str = "train", share: float = 1.0, labelled: bool = True) -> None:
        self.pairs = runpy.run_path(__file__.replace("distill_digits", "avdigits"))["Pairs"](split=split)
        few = round(share * len(self.pairs))
        self.places = range(len(self.pairs))[:few] if labelled else range(len(self.pairs))[few:]
        self.hidden = {} if labelled else {"label": None}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {**self.pairs[self.places[place]], **self.hidden}


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("heard", Heard)]


columns = {"image": "x_train", "label": "y_train"}
seeing = Recipe(
    name="seeing",
    sources={"all": {"name": "datasets", "data": "$FUSION_DATA/mnist.npz", "columns": columns}},
    encoders={"image": {"name": "scratch-image"}},
    augment={"image": [{"name": "image-noise", "strength": 0.6}]},
    width=64,
    objectives={"digit": TASK},
    train={"steps": 300, "lr": 2e-3},
)
recipe = Recipe(
    teacher="runs/seeing",
    sources={key: {"name": "heard", "share": 0.05, "labelled": key == "few"} for key in ("few", "rest")},
    encoders={"audio": {"name": "scratch-audio"}},
    width=64,
    objectives=STUDENTS["distill-labels"],
    train={"steps": 150, "batch": 64, "lr": 2e-3},
    evaluate={"sources": {"val": {"name": "heard", "split": "val"}}},
)


def accuracy(student: str, share: float, seed: int, teacher: str) -> float:
    """Train a student; return its accuracy in per cent on sounds of clips that were held out."""
    registry = Registry()
    chosen = [f"name={student}_{share}", f"objectives={STUDENTS[student]}", f"train.seed={seed}"]
    chosen += [f"sources.few.share={share}", f"sources.rest.share={share}", f"teacher={teacher}"]
    metrics = train(read_recipe(__file__, chosen, registry), registry=registry).metrics
    return round(100 * float(metrics["subsets/audio/accuracy"]), 1)


if __name__ == "__main__":
    seen = str(train(seeing).folder)
    for share, student in product(SHARES, STUDENTS):
        teacher = "null" if student == "labels" else seen
        print(f"{share:4.0%}  {student:17}", *(accuracy(student, share, seed, teacher) for seed in SEEDS))
