"""Train against an attack: the rows of a step become those that it makes of them (Madry et al. 2018)."""

from collections.abc import Callable
from itertools import combinations

from fusion.batch import Batch
from fusion.build import build_attack
from fusion.errors import Problem, RecipeError
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.threat.attacker import Attacker
from fusion.threat.harm import Goal
from fusion.threat.surface import attackable, unattackable

PATH = "train.adversarial"


def adversary(recipe: Recipe, model: Model, registry: Registry) -> Callable[[Batch, int], Batch]:
    """Return what a batch of a step is turned into: itself, where the recipe has no `train.adversarial`.

    The tasks are attacked, by the weights of their losses; without one, pairs of modalities are pushed apart.
    Each rank attacks its own rows, in fp32, so losses and weights are those of one process. Raises
    RecipeError for a modality that cannot be attacked, and where there is nothing that could go wrong.
    """
    pick = recipe.train.adversarial
    if pick is None:
        return lambda batch, step: batch
    problems = [
        Problem(f"{PATH}.radius.{name}", unattackable(name, model.processors))
        for name in pick.radius
        if name not in attackable(model.processors)
    ]
    weights = {name: recipe.objectives[name].weight for name in model.tasks}
    tasks = {name: weight for name, weight in weights.items() if weight}
    pairs = [pair for pair in combinations(model.modalities, 2) if set(pair) & set(pick.radius)]
    if not tasks and not pairs:
        problems.append(Problem(PATH, "there is no task to answer wrongly, and no two modalities to part"))
    if problems:
        raise RecipeError(problems)
    attack = build_attack(pick, PATH, registry)
    goal = Goal(tasks, () if tasks else pairs)
    return Attacker(model, attack, goal, pick.radius, pick.norm, recipe.train.seed, pick.share)
