"""What the report shows of the evaluation rows: a map, confusion matrices, retrieved examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusion.batch import Source
from fusion.data.draw import choices
from fusion.encoder import Processor
from fusion.evaluation.kept import Kept
from fusion.recipe.schema import Recipe
from fusion.report.media import Described, shown

POINTS = 200
PAIRS, QUERIES, RESULTS = 4, 3, 3


def details(
    recipe: Recipe,
    kept: Kept,
    confusion: Mapping[str, Tensor],
    contributed: Mapping[str, Any],
    sources: Sequence[Source],
    metrics: Mapping[str, Any],
    processors: Mapping[str, Processor],
) -> dict[str, Any]:
    """Return evaluation.json: plain data from which the report is drawn.

    The confusions, by "subset/task", are counts by true class (row) and predicted class (column);
    `contributed` is what modalities contribute by task and what is answered.
    """
    return {
        "classes": recipe.classes,
        "modalities": list(recipe.modalities),
        "confusion": {given.partition("/")[0]: counts.tolist() for given, counts in confusion.items()},
        "contributions": contributed,
        "map": _map(kept, recipe.modalities),
        "examples": _examples(recipe, kept, sources, metrics, processors),
    }


def _map(kept: Kept, modalities: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """t-SNE (van der Maaten 2008) of the cosine distances between a sample of all modalities."""
    from sklearn.manifold import TSNE

    picked, chosen = {}, []
    for name in modalities:
        if len(kept.at[name]):
            items = kept.items(name)
            spread = torch.linspace(0, len(items.labels) - 1, min(POINTS, len(items.labels))).long()
            picked[name] = items.labels[spread]
            chosen.append(items.vectors[spread])
    if sum(map(len, chosen)) < 4:
        return {}
    vectors = torch.cat(chosen).numpy()
    tsne = TSNE(metric="cosine", init="random", perplexity=min(30, len(vectors) - 1), random_state=0)
    points = torch.split(torch.from_numpy(tsne.fit_transform(vectors)), [len(part) for part in chosen])
    return {
        name: {"x": part[:, 0].tolist(), "y": part[:, 1].tolist(), "label": _known(picked[name])}
        for name, part in zip(picked, points, strict=True)
    }


def _examples(
    recipe: Recipe,
    kept: Kept,
    sources: Sequence[Source],
    metrics: Mapping[str, Any],
    processors: Mapping[str, Processor],
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
        wanted, known = (_known(kept.labels[kept.at[name]]) for name in (query, gallery))
        for index in _spread(wanted):
            similarity = kept.vectors[gallery] @ kept.vectors[query][index]
            results: list[dict[str, Any]] = []
            seen: set[int] = set()
            for found in similarity.argsort(descending=True).tolist():
                content = int(kept.content[gallery][found])
                if len(results) == RESULTS:
                    break
                if content in seen:
                    continue
                seen |= {content} - {0}
                media = _media(kept, found, gallery, sources, processors)
                results.append({"media": media, "label": known[found], "score": similarity[found].item()})
            media = _media(kept, index, query, sources, processors)
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


def _media(
    kept: Kept, index: int, modality: str, sources: Sequence[Source], processors: Mapping[str, Processor]
) -> Described:
    source, row = kept.place[:, kept.at[modality][index]].tolist()
    [raw, *_] = choices(sources[source][row], [modality])[modality]
    return shown(processors[modality], raw)
