"""What operators of torch do to channels: move them, leave them apart, or make them one class.

A rule is given the one who follows, the arguments and the output, and returns the numbers of the output; None
where all channels that went in have to stay.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from fusion.compressions.follow import Following

Rule = Callable[["Following", Any, dict[str, Any], Tensor], Tensor | None]

COPIES = {"_to_copy", "clone", "detach", "alias", "lift_fresh"}
VIEWS = {"view", "_unsafe_view", "reshape"}
MOVES = {
    *(*VIEWS, "permute", "transpose", "t", "expand", "repeat"),
    *(
        "slice",
        "select",
        "squeeze",
        "unsqueeze",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "cat",
        "stack",
    ),
    *("index", "index_select", "flip", "roll", "unfold", "constant_pad_nd"),
}
POINTWISE = {"copy_", "masked_fill_", "hardswish", "hardswish_", "hardsigmoid_", "rsub"}


def _reduced(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    """A mean over tokens keeps channels apart, one over channels needs them all."""
    tensor = args[0]
    numbers = following.numbers(tensor)
    chosen = args[1] if len(args) > 1 else kwargs.get("dim")
    if numbers is None or isinstance(chosen, Tensor):
        return None
    dims = range(tensor.ndim) if chosen is None or chosen == [] else chosen
    dims = tuple(dim % tensor.ndim for dim in ([dims] if isinstance(dims, int) else dims))
    if following.varies(numbers, *dims):
        return None
    return numbers.amax(dims, keepdim=out.ndim == tensor.ndim)


def _pooled(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    """Places are pooled within channels."""
    numbers = following.numbers(args[0])
    if numbers is None or following.varies(numbers, *range(2, numbers.ndim)):
        return None
    for dim in range(2, numbers.ndim):
        numbers = numbers.narrow(dim, 0, 1)
    return numbers.expand(out.shape)


def _softmax(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    numbers = following.numbers(args[0])
    if numbers is not None:
        following.classes.join(numbers, numbers.narrow(args[1], 0, 1))
    return numbers


def _layer_norm(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    numbers = following.numbers(args[0])
    if numbers is not None:
        first = numbers
        for dim in range(-len(args[1]), 0):
            first = first.narrow(dim, 0, 1)
        following.classes.join(numbers, first)
    return numbers


def _product(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    """Of matrices (b, i, k) and (b, k, j) that both have channels, all of one b become one class."""
    one, other = (following.numbers(part) for part in args[:2])
    if one is not None and other is not None:
        for numbers in (one, other):
            following.classes.join(numbers, one[:, :1, :1])
        return one[:, :1, :1].expand(out.shape)
    if one is not None and not following.varies(one, 2):
        return one[:, :, :1].expand(out.shape)
    if other is not None and not following.varies(other, 1):
        return other[:, :1, :].expand(out.shape)
    return None


def _attention(following: "Following", args: Any, kwargs: dict[str, Any], out: Tensor) -> Tensor | None:
    """All of a head is one class."""
    query, key, value = (following.numbers(part) for part in args[:3])
    if query is None or key is None or value is None or query.shape[1] != key.shape[1]:
        return None
    head = query[:, :, :1, :1]
    for numbers in (query, key, value):
        following.classes.join(numbers, head)
    scores = (*args[0].shape[:-1], args[1].shape[-2])
    for mask in (*args[3:], *kwargs.values()):
        if isinstance(mask, Tensor):
            following.meet_other(head.expand(scores), mask)
    return head.expand(out.shape)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std"), _reduced),
    "linalg_vector_norm": lambda following, args, kwargs, out: _reduced(
        following, (args[0], *args[2:]), kwargs, out
    ),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), _softmax),
    "native_layer_norm": _layer_norm,
    "bmm": _product,
}
_FAMILIES: dict[str, Rule] = {
    **dict.fromkeys(("max_pool", "avg_pool", "adaptive_", "_adaptive_", "upsample_"), _pooled),
    "_scaled_dot_product": _attention,
}


def rule_of(name: str) -> Rule | None:
    """Return what an operator does to channels; None for one of which that is not known."""
    return _RULES.get(name) or next(
        (rule for start, rule in _FAMILIES.items() if name.startswith(start)), None
    )
