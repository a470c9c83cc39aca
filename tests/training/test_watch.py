"""A process that is gone ends the others within a minute, with a reason, whatever they are doing."""

import json
import re
import socket
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from fusion.training.peers import accept
from fusion.training.watch import together
from tests.training.toys import recipe, write

# one process forks the two of every case; each rank does the first thing that its case names for it
JOBS = """
import json, os, signal, socket, sys, time
import torch.distributed as dist
from accelerate import Accelerator
from fusion import DataError, ProcessError
from fusion.training import peers, watch

watch.SILENT, watch.GRACE, peers.PATIENCE = 6, 1.0, 5.0

def die(number):
    time.sleep(0.5)
    os.kill(os.getpid(), number)
    time.sleep(200)

def fail():
    raise DataError("the disk is on fire")

def stop(*told):
    raise KeyboardInterrupt(*told)

DEEDS = {
    "sleep": lambda: time.sleep(200),  # as one that waits for a GPU
    "join": lambda: dist.barrier(),
    "go on": lambda: time.sleep(3),
    "die": lambda: die(signal.SIGKILL),
    "halt": lambda: die(signal.SIGSTOP),
    "fail": fail,
    "return": lambda: None,
    "stop": lambda: stop("stopped after step 3"),
    "break off": stop,
    "stay outside": lambda: None,
}

def closed(*at, **limit):
    raise ConnectionRefusedError("closed")

@watch.together
def work(deed):
    if deed == "stay outside":
        peers.socket.create_connection = closed
    watch.begin(Accelerator(cpu=True))
    dist.barrier()
    DEEDS[deed]()

def port():
    with socket.create_server(("", 0)) as free:
        return str(free.getsockname()[1])

def start(name, at, rank, deed):
    process = os.fork()
    if process:
        return process
    os.dup2(os.open(f"{sys.argv[1]}/{name}-{rank}", os.O_WRONLY | os.O_CREAT), 2)
    env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": at, "WORLD_SIZE": "2"}
    os.environ.update(env | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    code = 0
    try:
        work(deed)
    except (DataError, ProcessError, KeyboardInterrupt) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        code = 2
    os._exit(code)

began = time.monotonic()
cases = json.loads(sys.argv[2])
started, ended = {}, {}
for name, deeds in cases.items():
    at = port()
    for rank, deed in enumerate(deeds):
        started[start(name, at, rank, deed)] = (name, rank)
while set(ended.values()) < set(started.values()) and time.monotonic() - began < 150:
    process, status = os.waitpid(-1, os.WNOHANG)
    if process:
        name, rank = ended[process] = started[process]
        with open(f"{sys.argv[1]}/{name}-{rank}") as file:
            told = [line for line in file.read().splitlines() if not line.startswith("[")]
        print(json.dumps([name, rank, os.waitstatus_to_exitcode(status), told]), flush=True)
        other = next(pid for pid, (case, number) in started.items() if case == name and number != rank)
        if "halt" in cases[name] and other not in ended:
            os.kill(other, signal.SIGKILL)
    else:
        time.sleep(0.05)
for process in started.keys() - ended.keys():
    os.kill(process, signal.SIGKILL)
"""
CASES = {
    "first dies": ["die", "sleep"],
    "second dies": ["sleep", "die"],
    "second dies in a collective": ["join", "die"],
    "first fails": ["fail", "sleep"],
    "second fails": ["sleep", "fail"],
    "first fails in a collective": ["fail", "join"],
    "both fail": ["fail", "fail"],
    "second falls silent": ["sleep", "halt"],
    "first is earlier": ["return", "go on"],
    "second is earlier": ["go on", "return"],
    "second stops": ["sleep", "stop"],
    "second is broken off": ["sleep", "break off"],
    "second is shut out": ["return", "stay outside"],
}
Ended = dict[str, dict[int, tuple[int, list[str]]]]


@pytest.fixture(scope="module")
def ended(python: Any, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Exit code and errors of both processes of every case."""
    done = python("-c", JOBS, str(tmp_path_factory.mktemp("jobs")), json.dumps(CASES), timeout=200)
    assert done.returncode == 0, done.stderr
    found: Ended = {case: {} for case in CASES}
    for case, rank, code, told in map(json.loads, done.stdout.splitlines()):
        found[case][rank] = (code, told)
    assert all(len(ranks) == 2 for ranks in found.values()), found
    return found


@pytest.mark.parametrize(("case", "gone"), [("first dies", 0), ("second dies", 1)])
def test_who_waits_for_a_dead_process_is_ended(case: str, gone: int, ended: Ended) -> None:
    assert ended[case][gone][0] == -9
    code, [told] = ended[case][1 - gone]
    assert code == 1
    assert told.startswith(f"error (process {1 - gone}): process {gone} on ")
    assert told.endswith(
        " has ended without a word: it was killed, or its machine has failed; go on with --resume"
    )


@pytest.mark.parametrize(("case", "gone"), [("first fails", 0), ("second fails", 1)])
def test_who_waits_for_a_process_that_has_failed_is_ended_with_its_reason(
    case: str, gone: int, ended: Ended
) -> None:
    assert ended[case][gone] == (2, ["DataError: the disk is on fire"])
    code, [told] = ended[case][1 - gone]
    assert code == 1
    assert told.startswith(f"error (process {1 - gone}): process {gone} on ")
    assert told.endswith(" has ended: the disk is on fire")


@pytest.mark.parametrize(
    ("case", "alive", "reason"),
    [
        ("second dies in a collective", 0, " has ended without a word: it was killed"),
        ("first fails in a collective", 1, " has ended: the disk is on fire"),
    ],
)
def test_a_collective_that_fails_says_whose_end_that_was(
    case: str, alive: int, reason: str, ended: Ended
) -> None:
    code, told = ended[case][alive]
    assert len(told) == 1
    assert reason in told[0]
    # gloo raises at once; where its own thread is faster, the process is ended like one that sleeps
    assert (code, told[0].partition(":")[0]) in [(2, "ProcessError"), (1, f"error (process {alive})")]


def test_processes_that_meet_the_same_error_tell_it_and_nothing_else(ended: Ended) -> None:
    assert ended["both fail"] == dict.fromkeys((0, 1), (2, ["DataError: the disk is on fire"]))


def test_a_process_that_gives_no_sign_of_life_is_taken_for_dead(ended: Ended) -> None:
    code, [told] = ended["second falls silent"][0]
    assert code == 1
    assert told.endswith(" has not been heard of for 6 s; go on with --resume")


@pytest.mark.parametrize("case", ["first is earlier", "second is earlier"])
def test_a_process_may_return_before_the_others(case: str, ended: Ended) -> None:
    assert ended[case] == {0: (0, []), 1: (0, [])}


@pytest.mark.parametrize(
    ("case", "reason"),
    [("second stops", "stopped after step 3"), ("second is broken off", "KeyboardInterrupt()")],
)
def test_who_waits_for_a_process_that_alone_is_stopped_is_ended(case: str, reason: str, ended: Ended) -> None:
    code, [told] = ended[case][0]
    assert code == 1
    assert told.endswith(f" has ended: {reason}")


def test_a_job_whose_processes_cannot_watch_each_other_goes_on_and_says_so(ended: Ended) -> None:
    code, [told] = ended["second is shut out"][1]
    assert code == 0
    assert re.fullmatch(
        r"warning: process 1 cannot reach process 0 on .+ \(127\.0\.0\.1, port \d+\): closed; if one of the "
        r"two ends, the other may wait for it for hours",
        told,
    )
    assert ended["second is shut out"][0] == (0, [])


def test_who_does_not_know_the_key_is_no_process_of_the_job() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    at = server.getsockname()
    came = [socket.create_connection(at) for _ in range(3)]
    came[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    for peer, key in zip(came[1:], ("wrong", "right"), strict=True):
        Connection(peer.detach()).send_bytes(json.dumps([key, 1, "here"]).encode())
    assert list(accept(server, 1, "right").values()) == ["process 1 on here"]
    came[0].close()


def test_an_error_of_a_process_that_is_alone_stays_what_it_is() -> None:
    @together
    def work() -> None:
        raise RuntimeError("the shapes do not fit")

    with pytest.raises(RuntimeError, match=r"^the shapes do not fit$"):
        work()


@pytest.mark.slow
def test_a_training_of_which_one_process_is_killed_ends_within_a_minute_with_a_reason(
    torchrun: Any, tmp_path: Path
) -> None:
    changes = {"train.batch": 4, "train.steps": 1000, "sources.seen.weight": 3, "sources.heard.deadly": [3]}
    path = write(recipe(changes), tmp_path / "toy.yaml")
    run = tmp_path / "run"
    done = torchrun(2, "-m", "fusion", "train", str(path), "--out", str(run), timeout=300)  # sounds: rank 1
    # since the step before, not since the start, which takes a minute on a loaded machine
    assert time.time() - max(file.stat().st_mtime for file in run.iterdir()) < 60
    assert done.returncode != 0
    assert "error: process 1 on " in done.stderr
    assert "has ended without a word: it was killed" in done.stderr
    assert "exitcode  : -9" in done.stderr
