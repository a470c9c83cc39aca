"""Who asks by a name that is not the server's gets nothing."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from fusion.serve.hosts import Hosts


def status(host: str, *names: str) -> int:
    client = TestClient(Hosts(PlainTextResponse("here"), names))
    return client.get("/", headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "run.localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "[::1]",
        "192.0.2.7",
        "Mine.example:443",
        "mine.example.",
    ],
)
def test_addresses_and_its_own_names_are_answered(host: str) -> None:
    assert status(host, "mine.example") == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "mine.example.evil.example",
        "xmine.example",
        "evillocalhost",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "localhost:8000:evil.example",
        "[::1].evil.example",
        "[localhost",
        "",
    ],
)
def test_names_of_others_are_not(host: str) -> None:
    assert status(host, "mine.example") == 421


def test_what_to_do_is_said() -> None:
    client = TestClient(Hosts(PlainTextResponse("here"), ["mine"]), base_url="http://evil.example")
    assert client.get("/").json()["detail"] == (
        "this server is not called 'evil.example'; `--allow-host` of the command lets a name in"
    )


def test_every_name_counts_where_there_are_several() -> None:
    client = TestClient(Hosts(PlainTextResponse("here"), []))
    for hosts in (["localhost", "evil.example"], ["evil.example", "localhost"]):
        assert client.get("/", headers=[("host", host) for host in hosts]).status_code == 421


def test_a_star_is_any_name() -> None:
    assert status("whoever.example", "*") == 200
