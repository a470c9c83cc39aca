"""Say how a training goes: a bar on a terminal, plain lines in a pipe, nothing on ranks other than 0."""

import sys
import time
from types import TracebackType
from typing import Protocol


class Progress(Protocol):
    """Shows how many steps are done and the loss, and says what else there is to say."""

    def __enter__(self) -> "Progress": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, step: int, loss: float) -> None: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


def progress(title: str, steps: int, *, main: bool) -> Progress:
    """Return what fits where standard error leads."""
    if not main:
        return _Silence()
    return _Bar(title, steps) if sys.stderr.isatty() else _Lines(title, steps)


class _Silence:
    def __enter__(self) -> "_Silence":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, step: int, loss: float) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self.say(f"warning: {message}")


class _Lines(_Silence):
    """About ten lines a training."""

    def __init__(self, title: str, steps: int) -> None:
        self.title, self.steps = title, steps
        self.next = 0
        self.start = time.monotonic()

    def show(self, step: int, loss: float) -> None:
        if step >= self.next:
            seconds = time.monotonic() - self.start
            print(
                f"{self.title}: step {step}/{self.steps}, loss {loss:.4f}, {seconds:.0f} s", file=sys.stderr
            )
            self.next = min(self.steps, step + max(1, self.steps // 10))

    def say(self, message: str) -> None:
        print(message, file=sys.stderr)


class _Bar(_Silence):
    """A bar with the loss, the steps and the time that is left."""

    def __init__(self, title: str, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task(title, total=steps, loss=float("nan"))

    def __enter__(self) -> "_Bar":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self, step: int, loss: float) -> None:
        self.bar.update(self.task, completed=step, loss=loss)

    def say(self, message: str) -> None:
        self.bar.console.print(message, markup=False)
