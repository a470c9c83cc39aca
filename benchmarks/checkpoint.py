"""What checkpoints cost: bind_digits with one in 100 steps beside bind_digits with none, in turns.

    python benchmarks/checkpoint.py [rounds] [steps]

Prints the seconds and the processor's seconds of both, all threads together, and the median ratio of pairs that
were measured one after the other. Both write the checkpoint of the last step, after which nothing is measured.
The last line has what does not depend on who else uses the machine: the time for which the training stands
still to copy its state, and the processor's time of the thread that writes it, by the time of 100 steps.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from fusion import Registry, read_recipe, train
from fusion.run import Run
from fusion.training import checkpoint
from fusion.training.checkpoint import Checkpoint
from fusion.training.saving import Saver

EVERY = 100


class Clock:
    """Seconds of the main thread in `save`, and of the processor in the thread that writes."""

    def __init__(self) -> None:
        self.copying: list[float] = []
        self.writing: list[float] = []
        self._save, self._write = Saver.save, checkpoint.save
        Saver.save, checkpoint.save = self.save, self.write  # type: ignore[method-assign,assignment]

    def save(self, saver: Saver, *given: object) -> None:
        began = time.perf_counter()
        self._save(saver, *given)  # type: ignore[arg-type]
        self.copying.append(time.perf_counter() - began)

    def write(self, folder: Path, taken: Checkpoint, keep: int) -> Path:
        assert threading.current_thread() is not threading.main_thread()
        began = time.thread_time()
        final = self._write(folder, taken, keep)
        self.writing.append(time.thread_time() - began)
        return final
