"""fusion doctor: versions, devices, plugins, and what is missing."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from fusion.cli.show import json_option, print_json, registry_argument, table
from fusion.registry import Registry

LIBRARIES = (
    "fusion-bind",
    "torch",
    "accelerate",
    "pluggy",
    "pydantic",
    "numpy",
    "safetensors",
    "torchmetrics",
    "soundfile",
    "soxr",
    "pillow",
    "scikit-learn",
    "pyarrow",
)


@click.command("doctor", short_help="Say what is installed and what is wrong.")
@json_option
@registry_argument
def command(registry: Registry, as_json: bool) -> None:
    """Say what is installed, on what it will run, and what is wrong; exit code 1 when something is."""
    import torch

    versions = {name: _version(name) for name in LIBRARIES}
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    problems = [f"{name} is not installed" for name, found in versions.items() if found == "missing"]
    problems += [str(fault) for fault in registry.faults]
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "devices": devices or [f"cpu, {torch.get_num_threads()} threads"],
        "plugins": {name: str(origin) for name, origin in registry.origins.items()},
        "blocked": sorted(registry.blocked),
        "problems": problems,
    }
    if as_json:
        print_json(found)
    else:
        table(("library", "version"), [("python", found["python"]), *versions.items()])
        table(("device",), [(device,) for device in found["devices"]])
        table(("plugin", "from"), list(found["plugins"].items()))
        table(("problem",), [(problem,) for problem in problems or ["none"]])
    if problems:
        raise SystemExit(1)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
