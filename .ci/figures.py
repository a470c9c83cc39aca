"""Assert the figures that the README promises: python .ci/figures.py FOLDER_WITH_METRICS."""

import json
import sys
from pathlib import Path
from statistics import median

BIND = {
    "retrieval/image->audio/hit@1": 0.95,
    "retrieval/audio->image/hit@1": 0.95,
    "zero_shot/image/accuracy": 0.97,
    "zero_shot/audio/accuracy": 0.95,
}
SECONDS = 90  # the median of the trainings, on 2 CPU cores
MEGABYTES = 4000
SUBSETS = ("image", "text", "audio", "image+text", "image+audio", "text+audio", "image+text+audio")


def failures(folder: Path) -> list[str]:
    """Return every figure that falls short, with what was found."""
    wrong = []
    runs = [json.loads((folder / f"bind-{seed}.json").read_text("utf-8")) for seed in (0, 1, 2)]
    for seed, found in enumerate(runs):
        wrong += [
            f"seed {seed}: {key} is {found[key]}, not >= {least}"
            for key, least in BIND.items()
            if found[key] < least
        ]
        missing = [name for name in SUBSETS if f"subsets/{name}/accuracy" not in found]
        wrong += [f"seed {seed}: no figure for {name}" for name in missing]
        for pair in ("image->audio", "audio->image"):
            if not found[f"retrieval/{pair}/emergent"]:
                wrong.append(f"seed {seed}: {pair} is not emergent: image and audio met in training")
        both, image, audio = (found[f"subsets/{name}/accuracy"] for name in ("image+audio", "image", "audio"))
        if both < max(image, audio):
            wrong.append(f"seed {seed}: image+audio {both} is below image {image} or audio {audio}")
        figures = "  ".join(f"{key} {found[key]:.3f}" for key in BIND)
        print(f"bind_digits seed {seed}: {found['train/seconds']:.0f} s  {figures}")
    seconds = median(run["train/seconds"] for run in runs)
    if seconds > SECONDS:
        wrong.append(f"bind_digits trains for {seconds:.0f} s, not <= {SECONDS} s")
    memory = max(run["train/peak_memory_mb"] for run in runs)
    if memory > MEGABYTES:
        wrong.append(f"bind_digits needs {memory:.0f} MB, not <= {MEGABYTES} MB")
    fuse = json.loads((folder / "fuse-0.json").read_text("utf-8"))
    accuracy = {name: fuse[f"subsets/{name}/accuracy"] for name in SUBSETS}
    print("fuse_digits seed 0:", *(f"{name} {value:.3f}" for name, value in accuracy.items()))
    best = max(accuracy[name] for name in ("image", "text", "audio"))
    if accuracy["image+text+audio"] <= best:
        wrong.append(f"fuse_digits: all three do not beat the best single modality, {best}")
    return wrong


if __name__ == "__main__":
    short = failures(Path(sys.argv[1]))
    print("\n".join(short) or "all figures hold")
    sys.exit(bool(short))
