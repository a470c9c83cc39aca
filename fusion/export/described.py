"""What `model.json` says of the graphs: all that goes in and comes out, so that they can be used alone."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.fx import Node

from fusion.export.graphs import Graph
from fusion.export.specimens import Specimens


def described(graph: Graph, suffix: str) -> dict[str, Any]:
    """Return the file of a graph, and dtype and shape of what goes in and out.

    A shape has a word in place of an axis that may have any length: "rows", the same for all, or "length";
    `blank` is the shape of an output for a row that lacks the modality.
    """
    nodes = {node.name: node for node in graph.program.graph.nodes}
    signature = graph.program.graph_signature
    return {
        "file": f"{graph.part}{suffix}",
        "inputs": _tensors(graph.inputs, (nodes[str(name)] for name in signature.user_inputs)),
        "outputs": _blank(_tensors(graph.outputs, (nodes[str(name)] for name in signature.user_outputs))),
    }


def ranges(found: Specimens) -> dict[str, list[float]]:
    """Return the smallest and the largest number of each input, over the samples that were looked at."""
    every = [found.alike(1, number) for number in range(len(found.samples))]
    return {
        name: [min(part[name].min().item() for part in every), max(part[name].max().item() for part in every)]
        for name in found.axes
        if all(part[name].numel() and part[name].dtype != torch.bool for part in every)
    }


def _blank(outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: about | {"blank": [size if isinstance(size, int) else 1 for size in about["shape"][1:]]}
        for name, about in outputs.items()
    }


def _tensors(names: Iterable[str], nodes: Iterable[Node]) -> dict[str, Any]:
    values = {name: node.meta["val"] for name, node in zip(names, nodes, strict=True)}
    return {
        name: {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": [
                size if isinstance(size, int) else "length" if axis else "rows"
                for axis, size in enumerate(value.shape)
            ],
        }
        for name, value in values.items()
    }
