"""A signal ends a training between two steps, elsewhere at once, and leaves alone what cannot go on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import Stopped
from fusion.training.checkpoint import all_in
from fusion.training.interrupt import Interrupt
from tests.training.toys import recipe, write

RUN = Path("runs/digits")


def test_between_steps_a_signal_is_remembered_and_a_second_one_interrupts_at_once() -> None:
    with Interrupt() as interrupt:
        interrupt.folder = RUN
        steps = interrupt.between_steps(1)
        agreed = steps.__enter__()
        assert agreed(interrupt.requested) == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert agreed(interrupt.requested) == signal.SIGINT
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_outside_of_the_steps_a_signal_ends_at_once(
    number: signal.Signals, kind: type[KeyboardInterrupt]
) -> None:
    with Interrupt() as interrupt:
        interrupt.folder = RUN
        with pytest.raises(
            kind, match=r"^stopped outside of the steps; go on with --resume --out runs/digits$"
        ):
            os.kill(os.getpid(), number)
    assert issubclass(Stopped, KeyboardInterrupt)


def test_a_signal_that_no_step_has_heard_ends_the_training_after_them() -> None:
    with Interrupt() as interrupt:
        interrupt.folder = RUN
        with (
            pytest.raises(Stopped, match=r"^stopped after the last step; go on with"),
            interrupt.between_steps(1),
        ):
            os.kill(os.getpid(), signal.SIGTERM)


def test_without_a_run_that_can_go_on_a_signal_does_what_it_did_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [signal.SIGTERM]
            assert interrupt.requested == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
    try:
        with Interrupt(), pytest.raises(KeyboardInterrupt, match=r"^$"):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_sigterm_on_one_of_two_ranks_saves_and_ends_both_with_0(torchrun: Any, tmp_path: Path) -> None:
    given, out = tmp_path / "toy.yaml", tmp_path / "run"
    write(recipe({"train.log_every": 100}), given)
    arguments = ("-m", "fusion", "train", str(given), "--out", str(out))
    done = torchrun(2, *arguments, TOY_SIGNAL="15@1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"stopped after step 3; go on with --resume --out {out}") == 1
    assert [path.name for path in all_in(out / "checkpoints")] == ["step-00000003"]


AGREE = """
import sys, torch.distributed as dist
from fusion.training.agree import Agreement

dist.init_process_group("gloo")
agreed = Agreement(dist.get_world_size())
given = [[0, 0, 2, 0, 0], [0, 0, 15, 7, 0]][dist.get_rank()]
print([agreed(number) for number in given], flush=True)
agreed.close()
dist.destroy_process_group()
"""


def test_all_ranks_hear_the_largest_number_one_step_later(torchrun: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(AGREE)
    done = torchrun(2, str(script))
    assert done.returncode == 0, done.stderr
    assert "".join(done.stdout.splitlines()) == "[0, 0, 0, 15, 7]" * 2  # their ends of line may come together
