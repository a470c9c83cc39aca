"""A stand-in of the hub's file API on loopback: repositories, branches, commits, downloads."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlparse

Files = dict[str, bytes]


class Hub:
    """What the server holds: by repository the files of each commit, and where branches stand."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Files]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.large: Files = {}
        self.licences: dict[str, str] = {}
        self.asked: list[str] = []
        self.refuse = False

    def add(self, repository: str, files: Files, branch: str = "main") -> str:
        """Write a commit and return its id."""
        content = repository + "".join(
            f"{name}{hashlib.sha1(data).hexdigest()}" for name, data in files.items()
        )
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = files
        self.branches.setdefault(repository, {})[branch] = commit
        return commit

    def at(self, repository: str, revision: str) -> tuple[str, Files] | None:
        commit = self.branches.get(repository, {}).get(revision, revision)
        files = self.commits.get(repository, {}).get(commit)
        return None if files is None else (commit, files)


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a hub, and yield its address."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *given: Any) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
        if path[:2] == ["api", "models"]:
            self._about("/".join(path[2:4]), path[4:])
        elif "resolve" in path[:3]:
            self._file("/".join(path[:2]), path[3], "/".join(path[4:]))
        else:
            self._answer(404, {"error": "no such place"})

    def do_PUT(self) -> None:
        data = self._body()
        self.hub.large[self.path.rpartition("/")[2]] = data
        self._answer(200, {})

    def do_POST(self) -> None:
        body = self._body()
        path = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
        if self.hub.refuse:
            self._answer(403, {"error": "you may not write here"})
        elif path == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if name not in self.hub.commits:
                self.hub.add(name, {})
            self._answer(200, {"url": f"/{name}", "name": name, "id": "0"})
        elif path == ["api", "validate-yaml"]:
            self._answer(200, {"errors": [], "warnings": []})
        elif path[4:5] == ["branch"]:
            repository = "/".join(path[2:4])
            self.hub.branches[repository].setdefault(path[5], self.hub.branches[repository]["main"])
            self._answer(200, {})
        elif path[4:5] == ["preupload"]:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": modes})
        elif path[-3:] == ["lfs", "objects", "batch"]:
            host = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            objects = [
                one | {"actions": {"upload": {"href": f"{host}/upload/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            self._answer(200, {"transfer": "basic", "objects": objects}, "application/vnd.git-lfs+json")
        elif path[4:5] == ["commit"]:
            self._commit("/".join(path[2:4]), path[5], body)
        else:
            self._answer(404, {"error": "no such place"})

    def _commit(self, repository: str, branch: str, body: bytes) -> None:
        found = self.hub.at(repository, branch)
        if found is None:
            self._answer(404, {"error": "no such branch"})
            return
        files = dict(found[1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        commit = self.hub.add(repository, files, branch)
        self._answer(
            200, {"commitUrl": f"/{repository}/commit/{commit}", "commitOid": commit, "success": True}
        )

    def _about(self, repository: str, rest: list[str]) -> None:
        revision = rest[1] if rest[:1] in (["revision"], ["tree"]) else "main"
        found = self.hub.at(repository, revision)
        if found is None:
            self._missing("RevisionNotFound" if repository in self.hub.commits else "RepoNotFound")
        elif rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": "0"}
                for name, data in found[1].items()
            ]
            self._answer(200, entries)
        else:
            card = {"license": self.hub.licences[repository]} if repository in self.hub.licences else None
            siblings = [{"rfilename": name} for name in found[1]]
            self._answer(
                200, {"id": repository, "sha": found[0], "siblings": siblings, "cardData": card, "tags": []}
            )

    def _file(self, repository: str, revision: str, name: str) -> None:
        found = self.hub.at(repository, revision)
        if found is None:
            self._missing("RevisionNotFound" if repository in self.hub.commits else "RepoNotFound")
        elif name not in found[1]:
            self._missing("EntryNotFound", {"X-Repo-Commit": found[0]})
        else:
            data = found[1][name]
            more = {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self._answer(200, data, "application/octet-stream", more)

    def _missing(self, code: str, more: dict[str, str] | None = None) -> None:
        self._answer(404, {"error": code}, more={"X-Error-Code": code, **(more or {})})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(
        self, status: int, content: Any, kind: str = "application/json", more: dict[str, str] | None = None
    ) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
