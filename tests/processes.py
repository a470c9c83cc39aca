"""Start a module on one or several processes of this machine, without a GPU."""

import os
import subprocess
import sys


def start(processes: int, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with arguments, on processes that torch brings together where there are several."""
    several = ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m")
    return subprocess.run(
        [sys.executable, "-m", *(several if processes > 1 else ()), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
    )
