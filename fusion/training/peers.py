"""Connect the first process of a job with each of the others, by sockets apart from the process group."""

import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from ipaddress import ip_address
from multiprocessing.connection import Connection

from accelerate.utils import broadcast_object_list

PATIENCE = 15.0
"""Seconds in which a process has to reach the first one."""
UNWATCHED = "if one of the two ends, the other may wait for it for hours"


def connect(rank: int, ranks: int) -> dict[Connection, str]:
    """Return the connections of a process by name: those of the first one to all others, or the one to it."""
    host, address = socket.gethostname(), os.environ["MASTER_ADDR"]
    server, place = None, []
    if rank == 0:
        family, *_, [own, *_] = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0]
        # a job of one machine is to be heard by no other
        interface = str(own) if ip_address(own).is_loopback else ""
        server = socket.create_server((interface, 0), family=family, backlog=ranks)
        place = [server.getsockname()[1], secrets.token_hex(), host]
    told = [place]
    broadcast_object_list(told)
    [port, key, first] = told[0]
    try:
        if server is not None:
            return accept(server, ranks - 1, key)
        reached = socket.create_connection((address, port), timeout=PATIENCE)
        reached.settimeout(None)
        peer = Connection(reached.detach())
        peer.send_bytes(json.dumps([key, rank, host]).encode())
        return {peer: f"process 0 on {first}"}
    except OSError as error:  # the training itself may have other ways
        there = f"process 0 on {first} ({address}, port {port})"
        print(f"warning: process {rank} cannot reach {there}: {error}; {UNWATCHED}", file=sys.stderr)
        return {}


def accept(server: socket.socket, count: int, key: str) -> dict[Connection, str]:
    """Wait for the other processes; who does not know the key is none."""
    peers: dict[Connection, str] = {}
    server.settimeout(2 * PATIENCE)
    with server, suppress(TimeoutError):  # of one that cannot come, which says so
        while len(peers) < count:
            peer = Connection(server.accept()[0].detach())
            name = _name(peer, key)
            if name is not None:
                peers[peer] = name
    return peers


def _name(peer: Connection, key: str) -> str | None:
    """Return what a process that has come is called, or nothing for a stranger."""
    with suppress(EOFError, OSError, TypeError, ValueError):
        if peer.poll(PATIENCE):
            known, rank, host = json.loads(peer.recv_bytes(1000))
            return f"process {rank} on {host}" if secrets.compare_digest(known, key) else None
    return None
