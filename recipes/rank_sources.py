"""Which source run helps 200 labelled digits of USPS most: the ranking before training, and what came true.

FUSION_DATA=DIR python recipes/rank_sources.py    # 60 trainings of 1 to 8 seconds each, on one CPU core

Sources: MNIST, MNIST for 15 steps only, the digits of fusion, Fashion-MNIST, CIFAR-10 and emoji; a seventh
candidate has random weights. True is the accuracy on 2,007 other digits. See docs/transfer.md.
"""

from statistics import mean, stdev

from scipy.stats import kendalltau

from fusion import Recipe, rank, train

GROUPS = (
    "Smileys & Emotion|People & Body|Animals & Nature|Food & Drink|Travel & Places|Activities|Objects|Symbols"
)


def datasets(file: str, image: str, label: object, **options: object) -> dict[str, object]:
    data = f"$FUSION_DATA/{file}"
    return {"name": "datasets", "data": data, "columns": {"image": image, "label": label}, **options}


MNIST = datasets("mnist.npz", "x_train", "y_train")
EMOJI = {"column": "category", "classes": [*GROUPS.split("|"), "Flags"]}
SOURCES = {  # rows and steps
    "mnist": (MNIST, 300),
    "brief": (MNIST, 15),
    "digits": ({"name": "digits", "view": "image"}, 300),
    "fashion": (datasets("fashion_mnist.npz", "x_train", "y_train"), 300),
    "cifar": (datasets("cifar10.parquet", "image", "label", where={"split": "train"}), 300),
    "emoji": (datasets("emoji.parquet", "image", EMOJI), 300),
}
FEW, OTHERS = (datasets("usps.npz", f"x_{part}", f"y_{part}") for part in ("train", "test"))


def recipe(
    task: str, rows: dict[str, object], steps: int, batch: int, seed: int, tune: str = "full", **more: object
) -> Recipe:
    return Recipe(
        sources={"rows": rows},
        encoders={"image": {"name": "scratch-image", "size": 16, "tune": {"mode": tune}}},
        width=128,
        objectives={task: {"name": "classify", "classes": 10}},  # by its name, no head of a source is taken
        train={"steps": steps, "batch": batch, "lr": 2e-3, "seed": seed},
        **more,
    )


def target(init: str | None, seed: int, tune: str) -> Recipe:
    few, others = {**FEW, "limit": 200}, {"sources": {"test": OTHERS}}
    return recipe("digit", few, 150, 50, seed, tune, name="rank_usps", init=init, evaluate=others)


def main() -> None:
    taus: dict[tuple[str, str], list[float]] = {}
    for seed in (0, 1, 2):
        candidates: dict[str, str | None] = {"none": None}
        for name, (rows, steps) in SOURCES.items():
            run = train(recipe("kind", rows, steps, 64, seed, name=f"rank_{name}"))
            candidates[name] = str(run.folder)
        ranked = rank({name: target(init, seed, "full") for name, init in candidates.items()})
        for tune in ("frozen", "full"):
            runs = {name: train(target(init, seed, tune)) for name, init in candidates.items()}
            true = {name: run.metrics["subsets/image/accuracy"] for name, run in runs.items()}
            print(seed, tune, *(f"{one.name} {100 * true[one.name]:.1f}" for one in ranked))  # as LogME ranks
            for kind in ranked[0].estimates:
                pairs = [
                    (number, true[one.name]) for one in ranked if (number := one.estimate(kind)) is not None
                ]
                taus.setdefault((tune, kind), []).append(kendalltau(*zip(*pairs, strict=True)).statistic)
    for (tune, kind), found in taus.items():
        print(f"{tune:8}{kind:8}{mean(found):+.2f} ± {stdev(found):.2f}")


if __name__ == "__main__":
    main()
