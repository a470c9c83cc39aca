"""Run code that comes with a model, and only code of the repository and commit that the recipe names."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from transformers.dynamic_module_utils import get_class_from_dynamic_module

PINNED = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")


class RemoteCode(NamedTuple):
    """A repository of the hub and the commit at which its code is run."""

    repository: str
    revision: str

    def find(self, kind: str, described: dict[str, Any]) -> type[Any]:
        """Return the class that a configuration names for `kind`, such as AutoModel. Raises ValueError.

        Whatever repository the configuration names, the code is taken from this one.
        """
        named = described.get("auto_map", {}).get(kind)
        if named is None:
            raise ValueError(
                f"remote_code is {self.repository!r}, but the configuration names no code for {kind}; "
                "leave it out: the library has this model"
            )
        if Path(self.repository).is_dir():  # which the library would take, at whatever commit
            raise ValueError(
                f"there is a folder {self.repository!r} here, which may not be that repository at commit "
                f"{self.revision}; rename it, or work in another folder"
            )
        try:
            found: type[Any] = get_class_from_dynamic_module(
                named.rpartition("--")[2],
                self.repository,
                revision=self.revision,
                code_revision=self.revision,
            )
        except OSError as error:
            raise ValueError(
                f"the code {named!r} of {self.repository!r} is not here and cannot be fetched; run "
                f"`hf download {self.repository} --revision {self.revision}` where there is a network"
            ) from error
        return found


def pinned(remote_code: str | None) -> RemoteCode | None:
    """Read `org/name@commit`. Raises ValueError for less than a full commit: a branch may move."""
    if remote_code is None:
        return None
    match = PINNED.fullmatch(remote_code)
    if not match:
        raise ValueError(
            f"remote_code is {remote_code!r}; code is run only from a repository at a full commit: "
            "'org/name@' and the commit's 40 hexadecimal digits"
        )
    return RemoteCode(match[1], match[2])
