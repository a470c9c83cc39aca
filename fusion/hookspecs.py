"""Every extension point, on one page.

A plugin is a module or package named in the entry-point group `fusion`; it implements any of these with
`@fusion.hookimpl`. Implementations return records and import nothing heavy.
"""

from typing import TYPE_CHECKING

import pluggy

from fusion.component import Component

if TYPE_CHECKING:
    import click

    from fusion.model import Model
    from fusion.recipe.schema import Recipe
    from fusion.run import Run

hookspec = pluggy.HookspecMarker("fusion")
hookimpl = pluggy.HookimplMarker("fusion")


@hookspec
def fusion_encoders() -> list[Component]:
    """Encoders: raw samples of one modality -> Encoding. Each names its modality."""
    return []


@hookspec
def fusion_fusers() -> list[Component]:
    """Fusers: the aligned modalities that are present -> one vector per row."""
    return []


@hookspec
def fusion_objectives() -> list[Component]:
    """Objectives: embeddings, fused vector, targets -> one loss; tasks can also predict."""
    return []


@hookspec
def fusion_sources() -> list[Component]:
    """Sources: rows as dicts whose absent keys are absent modalities or targets."""
    return []


@hookspec
def fusion_augmentations() -> list[Component]:
    """Augmentations: a raw sample of a modality -> a varied one, in training."""
    return []


@hookspec
def fusion_corruptions() -> list[Component]:
    """Corruptions: functions (raw sample, severity, generator) -> a damaged one. Each names its modality."""
    return []


@hookspec
def fusion_tunings() -> list[Component]:
    """Tunings: what of an encoder learns, and when."""
    return []


@hookspec
def fusion_estimators() -> list[Component]:
    """Estimators: labelled vectors of a candidate -> how well it will transfer."""
    return []


@hookspec
def fusion_mergings() -> list[Component]:
    """Mergings: the weights of several runs -> those of one model."""
    return []


@hookspec
def fusion_priors() -> list[Component]:
    """Priors: where the parameters that learn are pulled to, beside the losses."""
    return []


@hookspec
def fusion_compressions() -> list[Component]:
    """Compressions: a trained model -> a smaller one."""
    return []


@hookspec
def fusion_attacks() -> list[Component]:
    """Attacks: where an input may go, and how bad that is -> the worst perturbation."""
    return []


@hookspec
def fusion_loggers() -> list[Component]:
    """Loggers: a training as it goes -> where people follow it."""
    return []


@hookspec
def fusion_train_start(recipe: "Recipe", model: "Model") -> None:
    """Called on the main process before the first step."""


@hookspec
def fusion_step_end(step: int, losses: "dict[str, float]") -> None:
    """Called on the main process for every step, in order, when its losses have reached the host."""


@hookspec
def fusion_train_end(run: "Run") -> None:
    """Called on the main process when the run folder is complete."""


@hookspec
def fusion_commands(cli: "click.Group") -> None:
    """Add subcommands to the command line."""
