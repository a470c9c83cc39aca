"""VGG16 goes from one task to another: pruned, quantised, fine-tuned, dequantised, and back again.

FUSION_DATA=DIR python recipes/vgg16_cifar10.py    # clothes -> objects and objects -> clothes, stage by stage

The tasks stand in vgg16_cifar10.yaml. It begins with weights of ImageNet if the hub's cache has them.
"""

import time

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from fusion import Registry, load, measure, note, read_recipe, train

THERE = try_to_load_from_cache("timm/vgg16_bn.tv_in1k", "model.safetensors")
START = f"encoders.image.pretrained={isinstance(THERE, str)}".lower()
VERSIONS = read_recipe("vgg16_cifar10").study.versions
TASKS = {"objects": VERSIONS["scratch"], "clothes": VERSIONS["clothes"]}


def pruned(model: nn.Module) -> dict[str, Tensor]:
    """Set the smaller half of all weights to zero."""
    layers = [(layer, "weight") for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=0.5)
    for layer, name in layers:
        prune.remove(layer, name)
    return dict(model.state_dict())


def quantised(model: nn.Module) -> dict[str, Tensor]:
    """Return 8 bits for each weight, and a scale for each of its output channels; vectors as they are."""
    stored = dict(model.state_dict())
    for name, value in [(name, value) for name, value in stored.items() if value.ndim > 1]:
        scale = value.abs().amax(dim=tuple(range(1, value.ndim)), keepdim=True).clamp(min=1e-12) / 127
        stored |= {name: (value / scale).round().to(torch.int8), f"{name}/scale": scale}
    return stored


def walk(source: str, target: str) -> None:
    """Tell what every stage takes and gives, also in the report of the last run."""
    stages = []

    def tell(stage, predictor, file, seconds):
        share, size = measure(predictor)["subsets/image/accuracy"], file.stat().st_size / 1e6
        stages.append([stage, f"{share:.1%}", f"{size:.1f} MB", f"{seconds:.1f} s"])
        print(f"{source} -> {target}:", *stages[-1], sep="  ", flush=True)

    def shrink(task, predictor, way):
        began, file = time.monotonic(), first.folder / f"{task}-{way.__name__}.safetensors"
        save_file(stored := way(predictor.model), file)
        plain = {name: value * stored.get(f"{name}/scale", 1) for name, value in stored.items()}
        predictor.model.load_state_dict({name: plain[name] for name in predictor.model.state_dict()})
        tell(f"{task}, {way.__name__}", predictor, file, time.monotonic() - began)

    first = train(read_recipe("vgg16_cifar10", [*TASKS[source], START]))
    old, start = load(first), str(first.folder / "start.safetensors")
    tell(f"{source}, learned", old, first.model_file, first.metrics["train/seconds"])
    shrink(source, old, pruned)
    shrink(source, old, quantised)  # and dequantised: that is what is measured, and goes on
    save_file(old.model.state_dict(), start)
    last = train(read_recipe("vgg16_cifar10", [*TASKS[target], f"init={start}"]))
    new, names, test = load(last), last.recipe.classes, last.recipe.evaluate.sources["test"]
    tell(f"{target}, fine-tuned", new, last.model_file, last.metrics["train/seconds"])
    shrink(target, new, quantised)
    rows = Registry().find("source", "datasets").component.resolve()(**test.options)
    for row in (rows[place] for place in range(3)):
        [found] = new.predict({"image": row["image"]}).values()
        print(f"  {names[row['label']]} is taken for {names[found.value]}")
    for part in ("encoders", "align"):
        getattr(old.model, part).load_state_dict(getattr(new.model, part).state_dict())
    tell(f"{source} after {target}", old, last.model_file, 0.0)
    note(last, f"From {source} to {target}", ("stage", "accuracy", "size", "time"), stages)


if __name__ == "__main__":
    walk("clothes", "objects")
    walk("objects", "clothes")
