"""What requests ask about rows that are encoded: an answer for each, as JSON has it."""

from dataclasses import dataclass
from typing import Any

from fusion.evaluation.temperature import temperatures_of
from fusion.inference import Encoded, Predictor
from fusion.search import Index
from fusion.search.ask import find_encoded


def present(encoded: Encoded) -> list[list[str]]:
    """Return the modalities that each row has."""
    rows = range(len(encoded.fused))
    return [[name for name, there in encoded.present.items() if there[row]] for row in rows]


def vectors(encoded: Encoded) -> list[dict[str, Any]]:
    """Return the vectors of what each row has, and the fused one."""
    parts = {name: part.tolist() for name, part in encoded.vectors.items()}
    return [
        {"present": names, "vectors": {name: parts[name][row] for name in names}, "fused": fused}
        for row, (names, fused) in enumerate(zip(present(encoded), encoded.fused.tolist(), strict=True))
    ]


@dataclass(frozen=True)
class Answers:
    """What each task answers, with the temperature of its probabilities."""

    predictor: Predictor

    def __call__(self, encoded: Encoded) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [{"present": names, "answers": {}} for names in present(encoded)]
        for name, (value, score) in self.predictor.answer(encoded).items():
            warmth = temperatures_of(name, encoded.present, self.predictor.temperatures)
            parts = zip(rows, value.tolist(), score.tolist(), warmth.tolist(), strict=True)
            for row, told, sure, temperature in parts:
                row["answers"][name] = {
                    "value": told,
                    "label": self.predictor.label(name, told, sure),
                    "score": sure,
                    "temperature": temperature,
                }
        return rows


@dataclass(frozen=True)
class Hits:
    """The k rows of an index that lie nearest, within some of its modalities."""

    index: Index
    k: int
    within: tuple[str, ...]

    def __call__(self, encoded: Encoded) -> list[dict[str, Any]]:
        found = find_encoded(self.index, encoded, self.k, self.within)
        return [
            {"present": names, "hits": [hit._asdict() for hit in hits]}
            for names, hits in zip(present(encoded), found, strict=True)
        ]
