"""VGG16 on CIFAR-10: its last layers exchanged, the others frozen at first, then unfrozen one by one.

hf download timm/vgg16_bn.tv_in1k                       # the weights of ImageNet, where there is a network
FUSION_DATA=DIR python recipes/vgg16_cifar10.py         # every way of tuning, three seeds
FUSION_DATA=DIR fusion train recipes/vgg16_cifar10.py encoders.image.size=64

Without them it says so, and first trains the same network on Fashion-MNIST. Only that was measured (three
seeds, 1 to 6 minutes each). It does not help: scratch 43.7 %, frozen 19.9, gradual 43.0, full 42.6.
"""

import sys
from pathlib import Path
from statistics import mean, stdev

from huggingface_hub import try_to_load_from_cache

from fusion import Recipe, Run, read_recipe, train

WEIGHTS, SEEDS = "timm/vgg16_bn.tv_in1k", (0, 1, 2)
THERE = isinstance(try_to_load_from_cache(WEIGHTS, "model.safetensors"), str)
if not THERE:
    print(f"{WEIGHTS} is not in the cache of the hub: vgg16_bn has random weights", file=sys.stderr)
TUNES = {name: f"{{mode: {name}}}" for name in ("frozen", "gradual", "full")}
CLOTHES = "{{name: datasets, data: $FUSION_DATA/fashion_mnist.npz, columns: {{image: x_{0}, label: y_{0}}}}}"
FASHION = [
    f"sources.train={CLOTHES.format('train')}",
    f"evaluate.sources.test={CLOTHES.format('test')}",
    "encoders.image.tune={mode: full}",
    "objectives={clothes: {name: classify, classes: 10}}",  # of another name: its head is not taken
    "classes=[]",
]


def objects(split: str) -> dict[str, object]:
    """Return the source of a split of CIFAR-10."""
    data, where = "$FUSION_DATA/cifar10.parquet", {"split": split}
    return {"name": "datasets", "data": data, "columns": {"image": "image", "label": "label"}, "where": where}


recipe = Recipe(
    name="vgg16_cifar10",
    sources={"train": objects("train")},
    encoders={
        "image": {
            "name": "timm-image",
            "model": "vgg16_bn",
            "pretrained": THERE,
            "size": 32,
            "pooling": "mean",  # without its three last layers
            "tune": {"mode": "gradual"},
        }
    },
    augment={"image": [{"name": "image-move"}, {"name": "image-flip"}]},
    objectives={"kind": {"name": "classify", "classes": 10}},
    classes=["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    train={"steps": 200, "batch": 64, "lr": 1e-3},
    evaluate={"sources": {"test": objects("test")}},
)


def trained(name: str, seed: int, *changes: str) -> Run:
    """Train with a seed into a folder of its own, unless that is done already."""
    folder = Path(f"runs/vgg16/{name}-{seed}")
    if (folder / "manifest.json").is_file():
        return Run(folder)
    return train(read_recipe(__file__, [*changes, f"train.seed={seed}"]), folder)


def main() -> None:
    ways = {name: [f"encoders.image.tune={tune}"] for name, tune in TUNES.items()}
    for name, way in {"scratch": ["encoders.image.pretrained=false", *ways["full"]], **ways}.items():
        shares = []
        for seed in SEEDS:
            init = [] if THERE or name == "scratch" else [f"init={trained('fashion', seed, *FASHION).folder}"]
            shares.append(100 * trained(name, seed, *way, *init).metrics["subsets/image/accuracy"])
        print(f"{name:10} {mean(shares):.1f} ± {stdev(shares):.1f} %")


if __name__ == "__main__":
    main()
