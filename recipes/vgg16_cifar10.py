"""VGG16 on CIFAR-10: its last layers exchanged, the others frozen at first, then unfrozen one by one.

hf download timm/vgg16_bn.tv_in1k                       # the weights of ImageNet, where there is a network
FUSION_DATA=DIR python recipes/vgg16_cifar10.py         # frozen, gradual and full, three seeds
FUSION_DATA=DIR fusion train recipes/vgg16_cifar10.py encoders.image.size=64

With the weights in the cache it starts from them; without, it says so and starts from random ones: that shows
what each way of tuning costs, and that there is nothing to keep. Only that was measured: see docs/results.md.
"""

from statistics import mean, stdev

from huggingface_hub import try_to_load_from_cache

from fusion import Recipe, read_recipe, train

WEIGHTS, SEEDS = "timm/vgg16_bn.tv_in1k", (0, 1, 2)
TUNES = ("{mode: frozen}", "{mode: gradual, start: 0.2, end: 0.8}", "{mode: full}")
THERE = isinstance(try_to_load_from_cache(WEIGHTS, "model.safetensors"), str)


def rows(split: str) -> dict[str, object]:
    """Return a source of the pictures and classes of a split."""
    columns = {"image": "image", "label": "label"}
    return {
        "name": "datasets",
        "data": "$FUSION_DATA/cifar10.parquet",
        "columns": columns,
        "where": {"split": split},
    }


recipe = Recipe(
    name="vgg16_cifar10",
    sources={"train": rows("train")},
    encoders={
        "image": {
            "name": "timm-image",
            "model": "vgg16_bn",
            "pretrained": THERE,
            "size": 32,
            "pooling": "mean",  # without its three last layers
            "tune": {"mode": "gradual", "start": 0.2, "end": 0.8},
        }
    },
    augment={"image": [{"name": "image-move"}, {"name": "image-flip"}]},
    objectives={"kind": {"name": "classify", "classes": 10}},
    classes=["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    train={"steps": 300, "batch": 64, "lr": 1e-3},
    evaluate={"sources": {"test": rows("test")}},
)


def accuracy(tune: str, seed: int) -> tuple[float, float]:
    """Train with a seed; return the accuracy in per cent and the seconds."""
    metrics = train(read_recipe(__file__, [f"encoders.image.tune={tune}", f"train.seed={seed}"])).metrics
    return 100 * metrics["subsets/image/accuracy"], metrics["train/seconds"]


if __name__ == "__main__":
    print(f"weights of ImageNet ({WEIGHTS})" if THERE else f"random weights: {WEIGHTS} is not in the cache")
    for tune in TUNES:
        shares, seconds = zip(*(accuracy(tune, seed) for seed in SEEDS), strict=True)
        print(f"{tune:40} {mean(shares):.1f} ± {stdev(shares):.1f} %  {mean(seconds):.0f} s")
