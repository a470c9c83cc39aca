"""Find a data set of the Hugging Face hub: online, or in what was downloaded before."""

import os
from typing import NamedTuple

import datasets
import huggingface_hub
from huggingface_hub import constants

from fusion import DataError
from fusion_datasets.words import cause


class Options(NamedTuple):
    """Which configuration and which revision of a data set."""

    config: str | None
    revision: str | None


def builder(name: str, options: Options) -> datasets.DatasetBuilder:
    """Return what loads a data set. Raises DataError that says what to fetch when it is not to be had."""
    try:
        return datasets.load_dataset_builder(name, options.config, revision=options.revision)
    except ConnectionError as error:
        folder = _downloaded(name, options.revision)
        if folder is None:
            revision = f" --revision {options.revision}" if options.revision else ""
            raise DataError(
                "there is no such file or folder, and no hub could be reached for a data set of this name; "
                f"fetch it where there is a network: hf download --repo-type dataset {name}{revision}"
            ) from error
    except Exception as error:  # that it does not exist, or has several configurations
        raise DataError(
            f"there is no such file or folder, and the hub does not give it: {cause(error)}"
        ) from error
    return datasets.load_dataset_builder(folder, options.config)


def roots(name: str) -> tuple[str, ...]:
    """Return the folders in which the media of a data set lie on this machine, as real paths."""
    own = os.path.join(constants.HF_HUB_CACHE, "--".join(["datasets", *name.split("/")]))
    return os.path.realpath(own), os.path.realpath(datasets.config.DOWNLOADED_DATASETS_PATH)


def _downloaded(name: str, revision: str | None) -> str | None:
    try:
        return huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=revision, local_files_only=True
        )
    except Exception:  # of whatever kind: it is not here
        return None
