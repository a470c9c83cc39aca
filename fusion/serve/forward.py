"""Answer rows of several requests in one forward, of which none fails with another."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.data.collate import Sample
from fusion.errors import DataError
from fusion.inference import Encoded, Predictor
from fusion.serve.request import Request

LOG = logging.getLogger("fusion.serve")


class Read(NamedTuple):
    """A decoded row, and its place among those of its request."""

    request: Request
    place: int
    sample: Sample


def settle(predictor: Predictor, read: Sequence[Read]) -> None:
    """Answer rows that are read; what fails together is tried again in halves, down to the row to blame."""
    if not read:
        return
    try:
        answers = _answers(predictor, read)
    except Exception as error:  # of any encoder, fuser or task, or of a device without memory
        if len(read) > 1:
            settle(predictor, read[: len(read) // 2])
            settle(predictor, read[len(read) // 2 :])
            return
        answers = [broken(error)]
    for one, answer in zip(read, answers, strict=True):
        one.request.settle(one.place, answer)


def broken(error: Exception) -> DataError:
    """Return what is told of an error that is not the client's to know; the log has the rest."""
    LOG.error("a row could not be answered", exc_info=error)
    return DataError(f"the model failed on it ({type(error).__name__})")


def _answers(predictor: Predictor, read: Sequence[Read]) -> list[Any]:
    encoded = predictor.encode_samples([one.sample for one in read])
    answers: list[Any] = [None] * len(read)
    for ask in dict.fromkeys(one.request.ask for one in read):
        places = [place for place, one in enumerate(read) if one.request.ask == ask]
        for place, answer in zip(places, ask(_rows(encoded, places)), strict=True):
            answers[place] = answer
    for place, finite in enumerate(_finite(encoded)):
        if not finite:
            answers[place] = DataError("its vectors hold NaN or infinity")
    return answers


def _rows(encoded: Encoded, places: Sequence[int]) -> Encoded:
    def of(parts: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: part[index] for name, part in parts.items()}

    index = torch.tensor(places)
    return Encoded(of(encoded.vectors), of(encoded.present), encoded.fused[index])


def _finite(encoded: Encoded) -> list[bool]:
    parts = [part.isfinite().all(dim=1) for part in (*encoded.vectors.values(), encoded.fused)]
    found: list[bool] = torch.stack(parts).all(dim=0).tolist()
    return found
