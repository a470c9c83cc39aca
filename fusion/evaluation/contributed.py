"""Average what modalities contribute to answers, batch by batch, by what is answered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.evaluation.sweep import Rows


class Sums(NamedTuple):
    """Sums over the rows that have a modality: by answered class, or of each of k numbers or flags."""

    absolute: Tensor  # (k,) fp64
    signed: Tensor  # (k,) fp64
    rows: Tensor  # (k,) long


class Contributed:
    """Sums up Shapley values of rows that come in order, each once; it holds k numbers for each modality."""

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = tuple(modalities)
        self._sums: dict[str, Sums] = {}  # by "modality/task"
        self._rows: dict[str, int] = {}
        self._classes: set[str] = set()  # tasks that answer with a class

    def add(self, rows: Rows) -> None:
        for key, part in rows.contributions.items():
            modality, _, task = key.partition("/")
            there = rows.present[modality]
            score = rows.scores[f"{'+'.join(self.modalities)}/{task}"]
            if part.shape == score.shape:
                found = _by_number(part[there].reshape(-1, part.shape[1:].numel()))
            else:
                self._classes.add(task)
                found = _by_class(part[there], rows.answers[task][there], score.shape[-1])
            known = self._sums.get(key)
            self._sums[key] = found if known is None else Sums(*map(torch.add, known, found))
            self._rows[key] = self._rows.get(key, 0) + int(there.sum())

    def metrics(self) -> dict[str, Any]:
        """Return the means of contributions, with and without their signs, over rows with the modality."""
        several = len({key.partition("/")[2] for key in self._sums}) > 1
        metrics: dict[str, Any] = {}
        for key, sums in self._sums.items():
            if self._rows[key]:
                name = f"contribution/{key if several else key.partition('/')[0]}"
                count = int(sums.rows.sum())
                metrics[f"{name}/absolute"] = float(sums.absolute.sum()) / count
                metrics[f"{name}/signed"] = float(sums.signed.sum()) / count
                metrics[f"{name}/rows"] = self._rows[key]
        return metrics

    def by_answer(self) -> dict[str, Any]:
        """Return the mean sizes by task, modality and what is answered, None where no row was so answered."""
        found: dict[str, Any] = {}
        for key, sums in self._sums.items():
            modality, _, task = key.partition("/")
            means = [
                size / rows if rows else None
                for size, rows in zip(sums.absolute.tolist(), sums.rows.tolist(), strict=True)
            ]
            told = found.setdefault(task, {"classes": task in self._classes, "mean": {}, "rows": {}})
            told["mean"][modality], told["rows"][modality] = means, sums.rows.tolist()
        return found


def _by_number(part: Tensor) -> Sums:
    count = torch.full((part.shape[1],), len(part))
    return Sums(part.abs().sum(dim=0), part.sum(dim=0), count)


def _by_class(part: Tensor, answer: Tensor, classes: int) -> Sums:
    return Sums(
        torch.bincount(answer, part.abs(), classes),
        torch.bincount(answer, part, classes),
        torch.bincount(answer, minlength=classes),
    )
