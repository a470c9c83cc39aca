"""Push a run to the hub: what it is built from, what was measured, and a card, in one commit."""

from pathlib import Path
from typing import NamedTuple

from fusion.errors import RunError
from fusion.hub.card import card
from fusion.hub.fetch import MEASURED, failures, first_line
from fusion.manifest import MANIFEST, SIGNATURE, faults
from fusion.run import Run

README = "README.md"


class Pushed(NamedTuple):
    """What was written to the hub: the name by which it is loaded, the page, and the card."""

    name: str  # "org/name@commit"
    url: str
    card: str


def files(run: Run) -> list[Path]:
    """Return the files of a run that are pushed: what it is built from, its signature, what was measured.

    Report, ledger and checkpoints stay: they may show rows of the data, and nobody needs them to use a run.
    Raises RunError where the run is not finished or a file is not what was written.
    """
    listed = run.manifest["files"]
    wrong = {name: fault for name, fault in faults(run.folder, listed).items() if fault}
    if wrong:
        told = ", ".join(f"{name} ({fault})" for name, fault in wrong.items())
        raise RunError(f"{run.folder} is damaged, and nothing is pushed: {told}")
    more = (name for name in (MANIFEST, SIGNATURE, *MEASURED) if (run.folder / name).is_file())
    return [run.folder / name for name in dict.fromkeys(("recipe.yaml", *listed, *more))]


def push(
    run: Run,
    name: str,
    *,
    branch: str | None = None,
    private: bool = False,
    licence: str | None = None,
) -> Pushed:
    """Write a run and its card to the repository `name`, "org/name", which is made where there is none.

    Everything comes in one commit, or nothing does. `licence` is an identifier of SPDX as the hub has them.
    Raises RunError where the run is damaged, or the hub refuses or is not reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    given = files(run)
    hub = HfApi(library_name="fusion-bind")
    text = card(run, name, licence, licences(run))
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        if branch is not None:
            hub.create_branch(name, branch=branch, exist_ok=True)
        made = hub.create_commit(
            name,
            [
                CommitOperationAdd(README, text.encode()),
                *(CommitOperationAdd(path.relative_to(run.folder).as_posix(), path) for path in given),
            ],
            commit_message=f"{run.recipe.name}, by fusion {run.manifest['fusion']}",
            revision=branch,
        )
    except failures() as error:
        raise RunError(f"cannot push to {name}: {first_line(error)}") from error
    return Pushed(f"{name}@{made.oid}", made.commit_url, text)


def licences(run: Run) -> dict[str, str]:
    """Return by encoder the licence of the weights that it began with, where the hub tells one."""
    from huggingface_hub import HfApi

    found = {}
    for encoder, origin in run.manifest["weights"].items():
        if "revision" not in origin:  # a file or a folder of somebody's machine
            continue
        try:
            about = HfApi().model_info(origin["model"], revision=origin["revision"]).card_data
        except failures():
            continue  # the card says that it is not known
        told = None if about is None else about.get("license")
        if told:
            found[encoder] = str(told)
    return found
