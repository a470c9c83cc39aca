"""What the report shows of the evaluation rows: a map, confusion matrices, retrieved examples."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusion.batch import Source
from fusion.data.draw import choices
from fusion.evaluation.sweep import Rows
from fusion.model import Model
from fusion.recipe import Recipe
from fusion.report.media import Described, describe

POINTS = 200
PAIRS, QUERIES, RESULTS = 4, 3, 3


def details(
    model: Model, recipe: Recipe, rows: Rows, sources: Sequence[Source], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return evaluation.json: plain data from which the report is drawn."""
    labels = rows.labels(recipe.evaluate.target)
    return {
        "classes": recipe.classes,
        "modalities": list(recipe.modalities),
        "confusion": _confusion(model, recipe, rows, labels),
        "map": _map(rows, recipe.evaluate.target, recipe.modalities),
        "examples": _examples(recipe, rows, sources, metrics),
    }


def _confusion(model: Model, recipe: Recipe, rows: Rows, labels: Tensor) -> dict[str, list[list[int]]]:
    """Counts by true class (row) and predicted class (column), for tasks that predict the label.

    Each modality alone, and all together.
    """
    matrices = {}
    for answered, score in rows.scores.items():
        given, _, name = answered.partition("/")
        subset = given.split("+")
        if (
            len(subset) not in (1, len(recipe.modalities))
            or model.tasks[name].target != recipe.evaluate.target
        ):
            continue
        chosen = rows.having(subset) & (labels != -100)
        classes = score.shape[1] if score.ndim == 2 else 0
        if classes == len(recipe.classes) and chosen.any():
            cells = labels[chosen] * classes + score[chosen].argmax(dim=1)
            counts = torch.bincount(cells, minlength=classes * classes).view(classes, classes)
            matrices[given] = counts.tolist()
    return matrices


def _map(rows: Rows, target: str, modalities: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """t-SNE (van der Maaten 2008) of the cosine distances between a sample of all modalities."""
    from sklearn.manifold import TSNE

    picked, kept = {}, []
    for name in modalities:
        if rows.present[name].any():
            items = rows.of(name, target)
            spread = torch.linspace(0, len(items.labels) - 1, min(POINTS, len(items.labels))).long()
            picked[name] = items.labels[spread]
            kept.append(items.vectors[spread])
    if sum(map(len, kept)) < 4:
        return {}
    vectors = torch.cat(kept).numpy()
    tsne = TSNE(metric="cosine", init="random", perplexity=min(30, len(vectors) - 1), random_state=0)
    points = torch.split(torch.from_numpy(tsne.fit_transform(vectors)), [len(part) for part in kept])
    return {
        name: {"x": part[:, 0].tolist(), "y": part[:, 1].tolist(), "label": _known(picked[name])}
        for name, part in zip(picked, points, strict=True)
    }


def _examples(
    recipe: Recipe, rows: Rows, sources: Sequence[Source], metrics: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The first results of a few queries, for pairs that never met in training before the others."""
    pairs = [
        (query, gallery)
        for query, gallery in recipe.retrieval_pairs()
        if f"retrieval/{query}->{gallery}/emergent" in metrics
    ]
    pairs.sort(key=lambda pair: not metrics[f"retrieval/{pair[0]}->{pair[1]}/emergent"])
    examples = []
    for query, gallery in pairs[:PAIRS]:
        asked, held = rows.where(rows.present[query]), rows.where(rows.present[gallery])
        wanted, known = (_known(part.labels(recipe.evaluate.target)) for part in (asked, held))
        for index in _spread(wanted):
            similarity = held.vectors[gallery] @ asked.vectors[query][index]
            results: list[dict[str, Any]] = []
            seen: set[int] = set()
            for found in similarity.argsort(descending=True).tolist():
                content = int(held.content[gallery][found])
                if content in seen or len(results) == RESULTS:
                    continue
                seen |= {content} - {0}
                media = _media(held, found, gallery, sources)
                results.append({"media": media, "label": known[found], "score": similarity[found].item()})
            media = _media(asked, index, query, sources)
            examples.append(
                {
                    "pair": f"{query}->{gallery}",
                    "query": media,
                    "label": wanted[index],
                    "results": results,
                }
            )
    return examples


def _spread(labels: Sequence[int | None]) -> list[int]:
    """Return a few rows of different classes, from all over the range of classes; any rows without them."""
    first = {label: index for index, label in reversed(list(enumerate(labels))) if label is not None}
    first = first or dict(enumerate(range(len(labels))))
    kinds = sorted(first)
    chosen = torch.linspace(0, len(kinds) - 1, min(QUERIES, len(kinds))).long().tolist()
    return [first[kinds[number]] for number in chosen]


def _known(labels: Tensor) -> list[int | None]:
    return [None if label == -100 else label for label in labels.tolist()]


def _media(rows: Rows, index: int, modality: str, sources: Sequence[Source]) -> Described:
    source, row = int(rows.place["source"][index]), int(rows.place["row"][index])
    [raw, *_] = choices(sources[source][row], [modality])[modality]
    if isinstance(raw, str | Path) and os.path.isfile(raw):  # Path.is_file raises on a long text
        held = describe(Path(raw).read_bytes())
        if held["kind"] != "other":
            return held
    return describe(raw)
