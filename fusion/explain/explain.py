"""Tell what the answers for one row rest on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from fusion.batch import Batch
from fusion.data.collate import Sample
from fusion.embeddings import Embeddings
from fusion.errors import PluginError, RunError
from fusion.evaluation.temperature import warmed
from fusion.explain.attribution import Attribution, attribute, telling
from fusion.explain.contributions import Contributions, contributions, play
from fusion.explain.nearest import Neighbour
from fusion.explain.places import AttributionError
from fusion.explain.shapley import MOST, Subset, subsets
from fusion.model import Model
from fusion.objective import Prediction


class Explanation(NamedTuple):
    """What the answers for one row rest on; dicts by modality hold those that the row has.

    `shares` are what the fuser takes of each, {} where it has none; `unattributed` says why a modality has no
    attribution where they were asked for.
    """

    answers: dict[str, Prediction]  # by task, of one row
    contributions: dict[str, Contributions]  # by task, of one row
    shares: dict[str, float]
    attributions: dict[str, dict[str, Attribution]]  # by task and modality
    unattributed: dict[str, str]
    nearest: dict[str, list[Neighbour]]


def explain(
    model: Model,
    batch: Batch,
    sample: Sample,
    attributed: bool,
    temperatures: Mapping[str, float] | None = None,
) -> tuple[Explanation, dict[str, Tensor]]:
    """Explain the answers for a batch of the one row `sample`; return also its vectors, (w,), by modality.

    Probabilities are at the temperature, by "subset/task", of just what is shown, where there is one.
    Raises RunError where the row has too many modalities, and PluginError where the fuser has no answer for
    nothing.
    """
    row = model.embed(batch)
    players = [name for name in model.modalities if name in sample.decoded]
    if len(players) > MOST:
        raise RunError(
            f"the row has {len(players)} modalities, with {2 ** len(players):,} subsets; contributions are "
            f"exact, for up to {MOST} modalities: leave some out"
        )
    known = temperatures or {}
    played = {
        subset: _warm(answers, subset, batch, known)
        for subset, answers in play(model, row, subsets(players)).items()
    }
    added = {}
    for name in model.tasks:
        told = {subset: answers[name] for subset, answers in played.items()}
        added[name] = contributions(players, told, batch.present)
        if not added[name].nothing.isfinite().all():
            raise PluginError(
                f"fuser ({model.origins['fuser']}) gives NaN or infinity where nothing is present, which is "
                "what contributions add to; a fuser is finite there (`fusion plugins check`)"
            )
    attributions: dict[str, dict[str, Attribution]] = {}
    unattributed: dict[str, str] = {}
    fused = model.fuse(row, batch.shown)
    for task in model.tasks if attributed else ():
        attributions[task] = {}
        for name in players:
            tell = telling(model.tasks[task], fused, known.get(f"{name}/{task}"))
            try:
                attributions[task][name] = attribute(model, sample, name, tell)
            except AttributionError as error:
                unattributed[name] = str(error)
    vectors = {name: row.pooled[name][0].cpu() for name in players}
    explanation = Explanation(
        played[tuple(players)], added, _shares(model, row, players), attributions, unattributed, {}
    )
    return explanation, vectors


def _warm(
    answers: Mapping[str, Prediction], subset: Subset, batch: Batch, temperatures: Mapping[str, float]
) -> dict[str, Prediction]:
    shown = {name: there.cpu() & (name in subset) for name, there in batch.present.items()}
    return {
        name: answer._replace(score=warmed(answer.score, name, shown, temperatures))
        for name, answer in answers.items()
    }


def _shares(model: Model, row: Embeddings, players: Sequence[str]) -> dict[str, float]:
    shares = model.fuser.shares(row)
    if shares is None:
        return {}
    by_name = dict(zip(model.fuser.modalities, shares[0].tolist(), strict=True))
    return {name: by_name[name] for name in players}
