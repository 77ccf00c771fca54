"""A stand-in for the Hugging Face Hub on this machine: it keeps what is committed, and gives it back."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

COMMIT = "a" * 40
TOKEN = "hf_right"


class Hub(ThreadingHTTPServer):
    """Repositories by ``models/owner/name`` or ``datasets/owner/name``: files by path."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *words: object) -> None:
        pass

    def do_POST(self) -> None:
        length, path = int(self.headers.get("Content-Length", 0)), urlsplit(self.path).path
        body = self.rfile.read(length)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": "Invalid credentials"})
        if path == "/api/validate-yaml":
            front = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            missing = [{"message": f"no {key}"} for key in ("license", "tags") if not front.get(key)]
            return self.answer(400 if missing else 200, {"errors": missing, "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            kind = asked.get("type") or "model"
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.repos.setdefault(f"{kind}s/{name}", {})
            return self.answer(200, {"url": f"{self.server.address}/{'datasets/' if kind == 'dataset' else ''}{name}"})
        if found := re.fullmatch(r"/api/((?:model|dataset)s/[^/]+/[^/]+)/preupload/main", path):
            files = json.loads(body)["files"]
            plain = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
            return self.answer(200, {"files": plain})
        if found := re.fullmatch(r"/api/((?:model|dataset)s/[^/]+/[^/]+)/commit/main", path):
            for line in body.splitlines():
                value = json.loads(line)
                if value["key"] == "file":
                    file = value["value"]
                    self.server.repos[found[1]][file["path"]] = base64.b64decode(file["content"])
            url = f"{self.server.address}/{found[1].removeprefix('models/')}/commit/{COMMIT}"
            return self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": url})
        return self.answer(404, {"error": path})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            repo = f"{found[1] or 'models/'}{found[2]}"
            if repo not in self.server.repos:
                return self.answer(404, {}, {"X-Error-Code": "RepoNotFound"})
            data = self.server.repos[repo].get(found[3])
            if data is None:
                return self.answer(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            tag = hashlib.sha256(data).hexdigest()
            return self.answer(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        if found := re.fullmatch(r"/api/((?:model|dataset)s)/([^/]+/[^/]+)(/tree/[^/]+.*|/revision/[^/]+)?", path):
            files = self.server.repos.get(f"{found[1]}/{found[2]}")
            if files is None:
                return self.answer(404, {}, {"X-Error-Code": "RepoNotFound"})
            if tree := re.fullmatch(r"/tree/[^/]+/?(.*)", found[3] or ""):
                files = {name: data for name, data in files.items() if name.startswith(tree[1])}
                if not files:
                    return self.answer(404, {}, {"X-Error-Code": "EntryNotFound"})
                listed = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
                return self.answer(200, listed)
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, {"id": found[2], "sha": COMMIT, "siblings": siblings})
        return self.answer(404, {"error": path})

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def serve() -> Hub:
    """A hub that answers until it is shut down."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    return hub
