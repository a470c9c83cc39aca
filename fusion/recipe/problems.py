"""Say in words what is wrong with a recipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from fusion.component import MODALITY
from fusion.errors import Problem, unknown

ACCUMULATED = (
    "adding up the gradients of small batches is no large batch: a contrastive loss would compare each row "
    "with those of its small batch only; give all rows of a step as train.batch, and as train.micro_batch "
    "how many are encoded at once, which has the gradient of the whole batch"
)


def reference_problems(recipe: Mapping[str, Any]) -> list[Problem]:
    """Return modalities that are named but have no encoder, and names that are not allowed.

    The recipe is plain data that may be malformed.
    """
    encoders = [str(name) for name in _mapping(recipe, "encoders")]
    evaluation = _mapping(recipe, "evaluate")
    problems = [
        Problem(f"encoders.{name}", "a modality is a lower-case identifier such as 'image' or 'heart_rate'")
        for name in encoders
        if not MODALITY.fullmatch(name)
    ]
    named = [
        (f"evaluate.{key}", name)
        for key in ("retrieval", "subsets")
        for group in _lists(evaluation.get(key))
        for name in group
    ]
    if evaluation.get("zero_shot") is not None:
        named.append(("evaluate.zero_shot.modality", _mapping(evaluation, "zero_shot").get("modality")))
        if not recipe.get("classes"):
            problems.append(Problem("classes", "zero-shot classification needs the names of the classes"))
    named += [(f"augment.{name}", name) for name in _mapping(recipe, "augment")]
    problems += [
        Problem(path, unknown("modality", name, encoders))
        for path, name in named
        if isinstance(name, str) and name not in encoders
    ]
    problems += [
        Problem("evaluate.retrieval", f"{group[0]!r} is compared with itself; name two modalities")
        for group in _lists(evaluation.get("retrieval"))
        if len(group) == 2 and group[0] == group[1]
    ]
    training = _mapping(recipe, "train")
    if training.get("batch") == "auto" and training.get("micro_batch") is not None:
        message = "'auto' is the largest batch that fits without train.micro_batch; give a number beside it"
        problems.append(Problem("train.batch", message))
    return list(dict.fromkeys(problems))


def held_problems(recipe: Mapping[str, Any]) -> list[Problem]:
    """Return sources that serve nothing, and those of `evaluate.calibrate` that serve anything else."""
    evaluation, problems = _mapping(recipe, "evaluate"), []
    for section in ("calibrate", "foreign"):
        if evaluation.get(section) and not evaluation.get("sources"):
            message = "serves to measure evaluate.sources, and there are none; give them"
            problems.append(Problem(f"evaluate.{section}", message))
    others = {f"sources.{name}": _options(pick) for name, pick in _mapping(recipe, "sources").items()}
    for section in ("sources", "foreign"):
        picks = _mapping(evaluation, section)
        others |= {f"evaluate.{section}.{name}": _options(pick) for name, pick in picks.items()}
    for name, pick in _mapping(evaluation, "calibrate").items():
        for path, other in others.items():
            if _options(pick) == other:
                message = (
                    f"has the rows of {path}; a temperature is fitted on rows that are held back from both"
                )
                problems.append(Problem(f"evaluate.calibrate.{name}", message))
    return problems


def _options(pick: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pick.items() if key not in ("weight", "without")}


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}


def _lists(data: Any) -> list[Sequence[Any]]:
    return [group for group in data if isinstance(group, list | tuple)] if isinstance(data, list) else []


def schema_problems(error: ValidationError, schema: type[BaseModel]) -> list[Problem]:
    """Say in our words what pydantic found in what was given for a schema."""
    problems = []
    for detail in error.errors():
        path = ".".join(str(part) for part in detail["loc"] if "[" not in str(part))
        message = detail["msg"].removeprefix("Value error, ")
        tried = str(detail["loc"][-1])  # of "all" or a list, pydantic tells what is wrong with either
        word = isinstance(detail["input"], str)
        if (tried.startswith("list[") and word) or (tried.startswith("literal[") and not word):
            continue
        if tried.startswith("literal["):
            message += " or a list"
        if detail["type"] == "extra_forbidden":
            message = unknown("key", tried, _keys_at(schema, detail["loc"][:-1]))
            if path.startswith("train.") and "accum" in tried:
                message = ACCUMULATED
        elif detail["type"] == "missing":
            message = "is missing"
        elif detail["type"] == "model_type":
            key = "mode" if path.endswith(".tune") else "name"
            given = detail["input"]
            value = given if isinstance(given, str) and given else key.upper()
            message = f"{given!r} has no keys; write it as {{{key}: {value}}}"
            if given is None:
                message = (
                    f"is empty; write it as {{{key}: {value}}}, or leave {path.rpartition('.')[2]!r} out"
                )
        else:
            message = f"{detail['input']!r}: {message[0].lower()}{message[1:]}"
        problems.append(Problem(path, message))
    return problems


def _keys_at(section: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = section.model_fields.get(str(part))
        kinds = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
        section = next(sections, section)
    return list(section.model_fields)
