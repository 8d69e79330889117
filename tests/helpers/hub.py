"""A stand-in for the HTTP interface of the Hugging Face Hub: as much of it as huggingface_hub needs for models."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LARGE = (".safetensors", ".png")
"""Suffixes of files that are stored apart (LFS), as the Hub's .gitattributes has it."""


@dataclass
class Hub:
    """What the Hub holds, and the faults that it simulates."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The files of each, as of its last commit. A Space is called ``spaces/OWNER/NAME``."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Contents of large files by SHA-256."""
    requests: list[str] = field(default_factory=list)
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    """Each download of a file: its name, from which byte, how many bytes."""
    failing_commits: int = 0
    """How many of the next commits are refused."""
    cut_after: int | None = None
    """After how many bytes the next download of a model ends."""
    tokens: tuple[str, ...] = ()
    """If there are any, only requests with one of them may write."""

    def commit(self, name: str) -> str:
        """The commit that ``name`` is at: a hash of its files."""
        files = sorted(self.repositories[name].items())
        return hashlib.sha1(repr([(path, hashlib.sha1(data).hexdigest()) for path, data in files]).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(b"")

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.body())

    def do_PUT(self) -> None:
        self.answer(self.body())

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, body: bytes) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append(f"{self.command} {path}")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.command == "POST" and self.hub.tokens and token not in self.hub.tokens:
            self.json({"error": "Invalid username or password."}, 401)
            return
        for pattern, method in ROUTES.items():
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                method(self, body, *found.groups())
                return
        self.json({"error": f"no route {self.command} {path}"}, 404)

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        self.bytes(json.dumps(value).encode(), status, **({"Content-Type": "application/json"} | headers))

    def bytes(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self) -> None:
        self.json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})

    def create(self, body: bytes) -> None:
        given = json.loads(body)
        name = ("spaces/" if given.get("type") == "space" else "") + f"{given['organization']}/{given['name']}"
        url = {"url": f"{self.hub.address}/{name}", "id": name, "name": name}
        self.json(url, 409 if name in self.hub.repositories else 200)
        self.hub.repositories.setdefault(name, {})

    def validate(self, body: bytes) -> None:
        self.json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, kind: str, name: str) -> None:
        paths = [each["path"] for each in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
        self.json({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]})

    def batch(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            known = each["oid"] in self.hub.objects
            upload = {"upload": {"href": f"{self.hub.address}/storage/{each['oid']}"}}
            objects.append(each | ({} if known else {"actions": upload}))
        self.json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self.json({"error": "another content"}, 400)
            return
        self.hub.objects[oid] = body
        self.json({})

    def commit(self, body: bytes, kind: str, name: str) -> None:
        if self.hub.failing_commits:
            self.hub.failing_commits -= 1
            self.json({"error": "the Hub is under repair"}, 400)
            return
        files = self.hub.repositories[("spaces/" if kind == "spaces" else "") + name]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = self.hub.commit(("spaces/" if kind == "spaces" else "") + name)
        self.json({"commitUrl": f"{self.hub.address}/{name}/commit/{commit}", "commitOid": commit})

    def info(self, body: bytes, kind: str, name: str) -> None:
        if name not in self.hub.repositories:
            self.missing()
            return
        siblings = [{"rfilename": path} for path in self.hub.repositories[name]]
        self.json({"id": name, "modelId": name, "sha": self.hub.commit(name), "siblings": siblings})

    def tree(self, body: bytes, kind: str, name: str) -> None:
        entries = []
        for path, data in self.hub.repositories[name].items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": etag_of(path, data)}
            if path.endswith(LARGE):
                entry["lfs"] = {"oid": etag_of(path, data), "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self.json(entries)

    def resolve(self, body: bytes, name: str, path: str) -> None:
        files = self.hub.repositories.get(name)
        if files is None:
            self.missing()
            return
        if path not in files:
            self.json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
            return
        data, etag = files[path], f'"{etag_of(path, files[path])}"'
        headers = {"ETag": etag, "X-Repo-Commit": self.hub.commit(name), "Accept-Ranges": "bytes"}
        start, end = 0, len(data)
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(found[1]), int(found[2]) + 1 if found[2] else len(data)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        part = data[start:end]
        if self.command == "GET" and path.endswith(".safetensors") and self.hub.cut_after is not None:
            size, part, self.hub.cut_after = len(part), part[: self.hub.cut_after], None
            headers["Content-Length"], self.close_connection = str(size), True
        if self.command == "GET":
            self.hub.sent.append((path, start, len(part)))
        self.bytes(part, 206 if "Content-Range" in headers else 200, **headers)


def etag_of(path: str, data: bytes) -> str:
    """The hash by which the Hub knows a file: of a large file its SHA-256, else git's."""
    if path.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


NAME = r"([^/]+/[^/]+)"
ROUTES = {
    r"POST /api/repos/create": Handler.create,
    r"POST /api/validate-yaml": Handler.validate,
    rf"POST /api/(models|spaces)/{NAME}/preupload/main": Handler.preupload,
    rf"POST /(?:spaces/)?{NAME}\.git/info/lfs/objects/batch": Handler.batch,
    r"PUT /storage/([0-9a-f]+)": Handler.store,
    rf"POST /api/(models|spaces)/{NAME}/commit/main": Handler.commit,
    rf"GET /api/(models)/{NAME}(?:/revision/[^/]+)?": Handler.info,
    rf"GET /api/(models)/{NAME}/tree/[^/]+": Handler.tree,
    rf"(?:GET|HEAD) /{NAME}/resolve/[^/]+/(.+)": Handler.resolve,
}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers on this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
