"""What a launch with DeepSpeed tells the processes, and the release of it that fusion knows."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from fusion.errors import TrainingError

USED = "ACCELERATE_USE_DEEPSPEED"
SETTINGS = {
    "zero_stage": "ACCELERATE_DEEPSPEED_ZERO_STAGE",
    "deepspeed_config_file": "ACCELERATE_DEEPSPEED_CONFIG_FILE",
    "offload_optimizer_device": "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE",
    "offload_param_device": "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE",
    "gradient_clipping": "ACCELERATE_GRADIENT_CLIPPING",
}
"""What Accelerate calls a setting in `deepspeed_config`, and how it hands it on to the processes."""
TOLD = {USED: "true", SETTINGS["zero_stage"]: "1"}
KNOWN = "0.19."


def installed() -> str:
    """Return the version of DeepSpeed. Raises TrainingError where there is none, or one that is not known."""
    try:
        found = version("deepspeed")
    except PackageNotFoundError:
        raise TrainingError(
            "ZeRO needs DeepSpeed: pip install 'fusion-bind[deepspeed]'; --launch fsdp2 needs nothing more"
        ) from None
    if not found.startswith(KNOWN):  # what fusion builds on is DeepSpeed's own, and changes with it
        raise TrainingError(
            f"ZeRO needs DeepSpeed {KNOWN}*, this is {found}: pip install 'fusion-bind[deepspeed]'"
        )
    return found


def expect_stage_1(settings: Mapping[str, object], by: str) -> None:
    """Raise TrainingError unless these settings of `deepspeed_config` are stage 1, and no more."""
    given = {key: str(settings.get(key, "none")) for key in SETTINGS}
    stage = given.pop("zero_stage").replace("none", "2")  # as Accelerate reads it
    others = [key for key, value in given.items() if value.lower() not in ("none", "auto")]
    if others:
        raise TrainingError(
            f"{by}: of deepspeed_config fusion takes `zero_stage: 1` alone; leave out {', '.join(others)}; "
            "clipping is the recipe's, train.clip"
        )
    if stage != "1":
        raise TrainingError(
            f"{by}: fusion trains with stage 1 of DeepSpeed's ZeRO, this asks for stage {stage}; give "
            "`zero_stage: 1` in deepspeed_config, or --launch fsdp2, which divides gradients and weights too"
        )
