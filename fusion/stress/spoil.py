"""Damage a batch in one trial, and encode of it what is damaged."""

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch
from fusion.data.loader import Loaded
from fusion.errors import DataError
from fusion.model import Model
from fusion.stress.stress import Stress, Trial

Inputs = dict[str, dict[str, Tensor]]


def encoded(model: Model, batch: Batch) -> Batch:
    """Return the batch with what the encoders give in place of their inputs."""
    inputs = {name: model.encode(name, given).as_inputs() for name, given in batch.inputs.items()}
    return batch._replace(inputs=inputs)


def spoilt(
    stress: Stress, trial: Trial, model: Model, batch: Batch, given: Batch, clean: Loaded, read: Loaded | None
) -> Batch:
    """Return `given`, the encoded `batch`, with what a trial makes of the modalities that it damages.

    `clean` is the batch as it was loaded, `read` the damaged samples of its rows, where there are some.
    Raises DataError where a sample cannot be read only when it is damaged.
    """
    if read is None:
        whole = given._replace(inputs=given.inputs | _some(batch.inputs, trial))
        harmed = encoded(model, stress.spoil(model, whole, trial)).inputs
    else:
        damaged = stress.spoil(model, send_to_device(read.batch, batch.row.device), trial)
        harmed = _readable(encoded(model, damaged), clean)
    for name in trial.modalities:
        rows = int(given.present[name].sum())
        if rows != (len(next(iter(harmed[name].values()))) if name in harmed else 0):
            raise DataError(f"{trial.kind} at severity {trial.severity:g}: {_reason(clean, read)}")
    return given._replace(inputs=given.inputs | _some(harmed, trial))


def _some(inputs: Inputs, trial: Trial) -> Inputs:
    return {name: inputs[name] for name in trial.modalities if name in inputs}


def _readable(batch: Batch, clean: Loaded) -> Inputs:
    """Return the encoded inputs less the rows of which something else could not be read."""
    unread = torch.tensor([row.row for row in clean.bad], dtype=torch.long, device=batch.row.device)
    left = {name: ~torch.isin(batch.row[batch.present[name]], unread) for name in batch.inputs}
    return {
        name: {key: part[left[name]] for key, part in inputs.items()}
        for name, inputs in batch.inputs.items()
        if left[name].any()
    }


def _reason(clean: Loaded, read: Loaded | None) -> str:
    known = {(row.source, row.row) for row in clean.bad}
    new = [row for row in (read.bad if read else ()) if (row.source, row.row) not in known]
    if not new:
        return "the damaged batch holds another number of samples"
    return f"a sample of {new[0].source!r} cannot be read any more: {new[0].reason}"
