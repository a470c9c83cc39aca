"""The command listens where it says, answers what it began when SIGTERM comes, and then ends with 0."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusion import Run, RunError
from fusion.serve.server import listen
from tests.cli.conftest import fusion  # noqa: F401


@pytest.fixture
def server(tiny_run: Run) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fusion", "serve", str(tiny_run.folder), "--port", "0"]
    options = ["--batch", "2", "--max-rows", "1000", "--queue", "2000", "--allow-host", "mine.example"]
    with subprocess.Popen(
        command + options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


def ask(url: str, rows: int) -> list[object]:
    content = json.dumps({"rows": [{"text": f"the digit {row}"} for row in range(rows)]}).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return list(json.load(answer)["rows"])


def test_sigterm_ends_it_when_all_is_answered(server: subprocess.Popen[str], tiny_run: Run) -> None:
    assert server.stdout is not None
    line = server.stdout.readline()
    match = re.fullmatch(r"(.*) answers on (http://127\.0\.0\.1:\d+)\n", line)
    assert match, line
    assert match[1] == str(tiny_run.folder)
    assert len(ask(f"{match[2]}/predict", 1)) == 1
    assert [_status(match[2], host) for host in ("mine.example", "evil.example")] == [200, 421]
    found: list[list[object]] = []
    asking = threading.Thread(target=lambda: found.append(ask(f"{match[2]}/encode", 800)))
    asking.start()
    while _waiting(match[2]) == 0:
        time.sleep(0.005)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    asking.join(60)
    assert len(found[0]) == 800
    assert all("fused" in row for row in found[0])  # type: ignore[operator]
    assert server.stderr is not None
    assert server.stderr.read() == ""


def _status(url: str, host: str) -> int:
    request = urllib.request.Request(f"{url}/health", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _waiting(url: str) -> int:
    with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
        return int(json.load(answer)["waiting"])


def test_a_taken_port_is_said() -> None:
    with (
        listen("127.0.0.1", 0) as first,
        pytest.raises(RunError, match=r"cannot listen on 127\.0\.0\.1, port"),
    ):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(RunError, match=r"cannot listen on 192\.0\.2\.1, port 0"):
        listen("192.0.2.1", 0)  # of nobody (RFC 5737)


def test_it_listens_on_version_6_too() -> None:
    with listen("::1", 0) as listening:
        assert listening.family == socket.AF_INET6


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client", "python_multipart"])
def test_a_missing_library_names_the_extra(
    fusion: Callable[..., tuple[int, str, str]],  # noqa: F811
    tiny_run: Run,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    for name in list(sys.modules):
        if name.startswith("fusion.serve"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    code, _, err = fusion("serve", tiny_run.folder, "--port", 0)
    assert code == 1
    assert "pip install 'fusion-bind[serve]'" in err


def test_a_run_that_is_none_or_is_not_signed_is_refused(
    fusion: Callable[..., tuple[int, str, str]],  # noqa: F811
    tiny_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, _, err = fusion("serve", tmp_path / "none", "--port", 0)
    assert (code, "is not a run" in err) == (1, True)
    from fusion.signature import new_key

    monkeypatch.setenv("FUSION_REQUIRE_SIGNATURE", str(new_key(tmp_path / "key")))
    code, _, err = fusion("serve", tiny_run.folder, "--port", 0)
    assert (code, "is not signed; a signature is required" in err) == (1, True)
