"""What a launch with DeepSpeed tells the processes, and the release of it that fusion knows."""

from importlib.metadata import PackageNotFoundError, version

from fusion.errors import TrainingError

USED = "ACCELERATE_USE_DEEPSPEED"
SETTING = "ACCELERATE_DEEPSPEED_"
KNOWN = "0.19."
TOLD = {USED: "true", f"{SETTING}ZERO_STAGE": "1"}


def expect_deepspeed() -> str:
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


def refusal(stage: str) -> str:
    """Say why a stage other than 1 is refused, and what to do."""
    return (
        f"stage {stage} of DeepSpeed reduces gradients in the order in which a process has them, and "
        "processes whose rows lack a modality have others; give `zero_stage: 1` in deepspeed_config, or "
        "--launch fsdp2, which divides gradients and weights too"
    )
