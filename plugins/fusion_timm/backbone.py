"""Build a timm model without its classifier, load its weights, and read its feature map."""

from typing import Any

import timm
from torch import Tensor, nn

from fusion_timm.checkpoint import Checkpoint
from fusion_timm.pretrained import first


def build(checkpoint: Checkpoint, size: int | None) -> nn.Module:
    """Return the model without its classifier. Raises ValueError where timm refuses."""
    architecture, config, arguments = checkpoint.architecture, checkpoint.config, dict(checkpoint.arguments)
    if size is not None and config.get("fixed_input_size"):
        arguments["img_size"] = size
    if checkpoint.weights is not None:
        model = _load(checkpoint, arguments)
    else:
        try:
            model = timm.create_model(architecture, pretrained_cfg=config, **arguments)
        except Exception as error:  # of a thousand architectures, each refuses in its own way
            raise ValueError(f"timm cannot build {architecture} with {arguments}: {first(error)}") from error
    model.reset_classifier(0)
    return model


def _load(checkpoint: Checkpoint, arguments: dict[str, Any]) -> Any:
    """Build with the classifier that is in the file: for another one timm loads whatever fits, unasked."""
    architecture, config, weights = checkpoint.architecture, checkpoint.config, checkpoint.weights
    try:
        state = timm.models.load_state_dict(str(weights), weights_only=True)
    except Exception as error:  # OSError, RuntimeError, SafetensorError, UnpicklingError ...
        raise ValueError(f"cannot read the weights {weights}: {first(error)}") from error
    tag = config.get("tag")
    registered = timm.models.is_model_pretrained(f"{architecture}.{tag}")
    reasons = []
    for classes in _classes(state, config):
        # loading changes the dict that it is given
        given = {**config, "num_classes": classes, "label_offset": 0, "state_dict": dict(state)}
        how: dict[str, Any] = {"pretrained_cfg": given}
        if registered:  # ConvNeXt looks at the tag itself: the weights "fcmae" have no head
            how = {"pretrained_cfg": tag, "pretrained_cfg_overlay": given}
        try:
            model = timm.create_model(architecture, pretrained=True, **how, **arguments)
        except Exception as error:  # RuntimeError for other names and shapes, KeyError from conversions ...
            reasons.append(error)
            continue
        del model.pretrained_cfg["state_dict"]  # or the weights stay in memory twice
        return model
    raise ValueError(f"the weights {weights} do not fit {architecture}: {first(reasons[0])}") from reasons[0]


def _classes(state: dict[str, Tensor], config: dict[str, Any]) -> list[int]:
    """Return how many classes the file's classifier has; two guesses where it has another name."""
    names = config.get("classifier") or ()
    for name in [names] if isinstance(names, str) else names:
        if f"{name}.weight" in state:
            return [len(state[f"{name}.weight"])]
    return list(dict.fromkeys([0, config.get("num_classes", 0)]))


def flatten(features: Tensor | list[Tensor], model: nn.Module) -> Tensor | None:
    """Return what forward_features gave as tokens (n, t, d): cells or patches, no class tokens.

    None for the few architectures with several maps that have nothing to do with each other.
    """
    if not isinstance(features, Tensor):
        return None
    if features.ndim == 3:  # NLC
        return features[:, getattr(model, "num_prefix_tokens", 0) :]
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)


def prune(model: nn.Module, *outputs: Tensor) -> None:
    """Drop the parts of a model that had no part in its outputs; freeze single parameters."""
    reached = _leaves(outputs)
    for name, child in model.named_children():
        trained = [parameter for parameter in child.parameters() if parameter.requires_grad]
        if trained and reached.isdisjoint(trained):
            setattr(model, name, nn.Identity())
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in reached)


def _leaves(outputs: tuple[Tensor, ...]) -> set[Tensor]:
    """Return the parameters that outputs were computed from, read off their graph."""
    todo = [output.grad_fn for output in outputs]
    seen, leaves = set(todo), set()
    while todo:
        node = todo.pop()
        if node is None:
            continue
        leaves |= {node.variable} if hasattr(node, "variable") else set()
        following = {function for function, _ in node.next_functions} - seen
        seen |= following
        todo += following
    return leaves
