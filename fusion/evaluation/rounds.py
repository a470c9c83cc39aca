"""Go through the rows of sources with all ranks; the first one gets what the model makes of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device

from fusion.batch import Batch, Source, Target
from fusion.data.collate import BadRow, Collator
from fusion.data.loader import Reader, Sweep, load
from fusion.errors import DataError
from fusion.evaluation.crew import Crew
from fusion.evaluation.sweep import Rows
from fusion.model import Model
from fusion.recipe.schema import Recipe


def targets(model: Model, recipe: Recipe) -> dict[str, Target]:
    """Return what is read from rows beside their samples."""
    read = model.targets()
    answered = {task.target: read[task.target] for task in model.tasks.values()}
    return {recipe.evaluate.target: read.get(recipe.evaluate.target, Target(torch.long)), **answered}


def expect_some(sizes: Mapping[str, int], bad: Sequence[BadRow], path: str = "evaluate.sources") -> None:
    """Raise DataError for a source, of so many rows, that is empty, or of which no row could be read."""
    for name, size in sizes.items():
        unread = [row for row in bad if row.source == name]
        if size == 0:
            raise DataError(f"{path}.{name} is empty")
        if len(unread) == size:
            first = unread[0]
            raise DataError(f"{path}.{name}: no row can be read, such as row {first.row}: {first.reason}")


class Rounds:
    """The batches of an evaluation, which ranks read in turn; `bad` are the rows that could not be read.

    Of each source they hold the first `limit` rows, or all.
    """

    def __init__(
        self,
        model: Model,
        recipe: Recipe,
        sources: Mapping[str, Source],
        accelerator: Accelerator,
        limit: int | None,
    ) -> None:
        self.sweep = Sweep(
            Reader(sources, Collator(model.processors, targets(model, recipe))),
            recipe.evaluate.batch,
            accelerator.process_index,
            accelerator.num_processes,
            limit,
        )
        self.accelerator, self.workers = accelerator, recipe.train.workers
        self.bad: list[BadRow] = []

    def rows(self, crew: Crew, collect: Callable[[Batch], Rows]) -> Iterator[Rows]:
        """Yield what `collect` makes of each batch, on the first rank; all go through it to the end."""
        loaded = load(self.sweep, range(len(self.sweep)), self.workers)
        for _ in range(self.sweep.rounds):
            one, rows = next(loaded, None), None
            if one is not None:
                rows = collect(send_to_device(one.batch, self.accelerator.device, non_blocking=True))
                self.bad += one.bad
            yield from filter(None, crew.gather(rows))  # in the order of the batches
        if self.accelerator.num_processes > 1:
            self.bad = gather_object(self.bad)
