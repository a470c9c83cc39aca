"""Train the recipes on real data with several seeds and print the table of docs/results.md.

    FUSION_DATA=DIR python benchmarks/results.py [recipe ...]

A run that is finished (runs/results/NAME-SEED) is read, one that was stopped goes on: the table can be made
in several sittings.
"""

import sys
from pathlib import Path
from statistics import mean, stdev

from fusion import Run, read_recipe, train

SEEDS = (0, 1, 2)
FOLDER = Path("runs/results")
SHOWN = {
    "bind_digits": (
        "retrieval/image->audio/hit@1",
        "retrieval/audio->image/hit@1",
        "zero_shot/image/accuracy",
    ),
    "fuse_digits": ("subsets/audio/accuracy", "subsets/image+text+audio/accuracy"),
    "speech_digits": (
        "retrieval/image->audio/hit@1",
        "retrieval/audio->image/hit@1",
        "zero_shot/image/accuracy",
        "zero_shot/audio/accuracy",
    ),
    "emoji": (
        "retrieval/image->text/recall@1",
        "retrieval/image->text/recall@10",
        "retrieval/text->image/recall@10",
    ),
    "sounds": ("zero_shot/audio/accuracy", "subsets/audio/accuracy"),
    "photos": tuple(
        f"retrieval/{pair}/recall@10"
        for pair in (
            "image->text",
            "text->image",
            "image->audio",
            "audio->image",
            "text->audio",
            "audio->text",
        )
    ),
}


def trained(name: str, seed: int) -> Run:
    """Return the finished run of a recipe and a seed, trained as far as it is not."""
    folder = FOLDER / f"{name}-{seed}"
    if (folder / "manifest.json").is_file():
        return Run(folder)
    recipe = read_recipe(name, [f"train.seed={seed}"])
    return train(recipe, folder, resume=(folder / "recipe.yaml").is_file())


def main(names: list[str]) -> None:
    print("| recipe | measured | mean ± deviation | seeds 0, 1, 2 | training |")
    print("|---|---|---|---|---|")
    for name in names or SHOWN:
        runs = [trained(name, seed).metrics for seed in SEEDS]
        seconds = mean(run["train/seconds"] for run in runs)
        for key in SHOWN[name]:
            shares = [100 * run[key] for run in runs]
            each = ", ".join(f"{share:.1f}" for share in shares)
            spread = f"{mean(shares):.1f} ± {stdev(shares):.1f} %"
            print(f"| `{name}` | `{key}` | {spread} | {each} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
