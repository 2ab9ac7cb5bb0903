"""A Hugging Face Hub in miniature, over real HTTP: enough of the API for downloads, uploads and the faults tests need."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_right"
CARD_LICENCES = {"apache-2.0", "mit"}
CARD_TASKS = {"image-to-3d", "image-to-image", "text-to-image"}


class Hub:
    """Repositories, what is wrong with them, and every request that came.

    Attributes:
        commits: repository → commit → path → bytes. refs: repository → branch or tag → commit.
        faults: repository → path ("*": every API call) → "corrupt", "cut", "missing" or an HTTP status.
        private: repositories that only the right token opens.
        requests: (method, path, Range header) in order.
    """

    def __init__(self, url: str):
        self.url = url
        self.commits: dict[str, dict[str, dict[str, bytes]]] = defaultdict(dict)
        self.refs: dict[str, dict[str, str]] = defaultdict(dict)
        self.faults: dict[str, dict[str, str | int]] = defaultdict(dict)
        self.private: set[str] = set()
        self.requests: list[tuple[str, str, str]] = []

    def commit(self, repository: str, files: dict[str, bytes], ref: str = "main") -> str:
        """Make `files` the whole content of a branch or tag; the commit's name."""
        seed = repr((repository, ref, len(self.commits[repository]), sorted(files))).encode()
        name = hashlib.sha1(seed).hexdigest()
        self.commits[repository][name] = dict(files)
        self.refs[repository][ref] = name
        return name

    def files(self, repository: str, ref: str = "main") -> dict[str, bytes]:
        return self.commits[repository][self.refs[repository][ref]]


@contextlib.contextmanager
def serve_hub():
    """Yield a running `Hub`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._get()

    def do_GET(self):
        self._get()

    # ------------------------------------------------------------------------------------------ reading

    def _get(self):
        self._note()
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            self._api(match[1], match[2], match[3] or "main")
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*match.groups())
        else:
            self._answer(404, {"error": f"the stub has no {path}"})

    def _api(self, repository, kind, ref):
        if not self._may_read(repository):
            return
        commit = self._commit(repository, ref)
        if commit is None:
            return self._answer(404, {"error": "Revision Not Found"}, {"X-Error-Code": "RevisionNotFound"})
        files = self.server.hub.commits[repository][commit]
        if kind == "tree":
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
            ]
            return self._answer(200, entries)
        siblings = [{"rfilename": path} for path in files]
        facts = {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings, "tags": []}
        self._answer(200, {**facts, "private": repository in self.server.hub.private})

    def _file(self, repository, ref, path):
        if not self._may_read(repository):
            return
        commit = self._commit(repository, ref)
        data = self.server.hub.commits[repository].get(commit, {}).get(path)
        fault = self.server.hub.faults[repository].get(path)
        if data is None or fault == "missing":
            return self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if fault == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        self._send_range(data, headers, cut=fault == "cut")

    def _send_range(self, data, headers, cut):
        """The body from where the Range header says; `cut` breaks the connection in the middle of the file."""
        start = int(match[1]) if (match := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(data) // 2 if cut else len(data)
        self.wfile.write(data[start:end])
        self.close_connection = cut

    # ------------------------------------------------------------------------------------------ writing

    def do_POST(self):
        self._note()
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        if path == "/api/validate-yaml":
            errors = [{"message": message} for message in card_faults(json.loads(body)["content"])]
            return self._answer(400 if errors else 200, {"errors": errors, "warnings": []})
        if not self._may_write():
            return
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(branch|preupload|commit)/([^/]+)", path)
        if match is None:
            return self._answer(404, {"error": f"the stub has no {path}"})
        repository, action, ref = match.groups()
        if action == "branch":
            self.server.hub.refs[repository].setdefault(ref, self.server.hub.refs[repository]["main"])
            return self._answer(200, {})
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": files})
        self._answer(200, self._take_commit(repository, ref, body))

    def _create(self, wish):
        hub = self.server.hub
        name = f"{wish['organization']}/{wish['name']}" if wish.get("organization") else wish["name"]
        if name not in hub.refs:
            hub.commit(name, {".gitattributes": b""})
            if wish.get("private") or wish.get("visibility") == "private":
                hub.private.add(name)
        self._answer(200, {"url": f"{hub.url}/{name}", "name": name, "id": name})

    def _take_commit(self, repository, ref, body):
        files = dict(self.server.hub.files(repository, ref))
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                files.pop(line["value"]["path"])
        name = self.server.hub.commit(repository, files, ref)
        return {
            "success": True,
            "commitOid": name,
            "commitUrl": f"{self.server.hub.url}/{repository}/commit/{name}",
        }

    # ------------------------------------------------------------------------------------------ helpers

    def _note(self):
        self.server.hub.requests.append(
            (self.command, urlsplit(self.path).path, self.headers.get("Range", ""))
        )

    def _commit(self, repository, ref):
        hub = self.server.hub
        return ref if ref in hub.commits[repository] else hub.refs[repository].get(ref)

    def _authorised(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _may_read(self, repository) -> bool:
        """As the Hub has it: a wrong token is refused everywhere, a private repository looks like none."""
        hub = self.server.hub
        if status := hub.faults[repository].get("*"):
            self._answer(status, {"error": "the stub was told to fail"})
        elif "Authorization" in self.headers and not self._authorised():
            self._refuse_token()
        elif repository not in hub.refs or (repository in hub.private and not self._authorised()):
            self._answer(
                404 if self._authorised() else 401,
                {"error": "Repository not found"},
                {"X-Error-Code": "RepoNotFound"},
            )
        else:
            return True
        return False

    def _may_write(self) -> bool:
        if not self._authorised():
            self._refuse_token()
        return self._authorised()

    def _refuse_token(self):
        message = "Invalid credentials in Authorization header"
        self._answer(401, {"error": message}, {"X-Error-Message": message})

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status, content, headers=None):
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def card_faults(text: str) -> list[str]:
    """What the Hub's documentation of model card metadata forbids, as far as our card could break it."""
    block = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    metadata = yaml.safe_load(block[1]) if block else None
    if not isinstance(metadata, dict):
        return ["no metadata"]
    faults = []
    if metadata.get("license") not in CARD_LICENCES:
        faults.append('"license" must be one of the known licences')
    if metadata.get("pipeline_tag") not in CARD_TASKS:
        faults.append('"pipeline_tag" must be a task of the Hub')
    if not all(isinstance(tag, str) for tag in metadata.get("tags", [])):
        faults.append('"tags" must be strings')
    for model in metadata.get("model-index", []):
        for result in model["results"]:
            if not (result.get("task") and result["dataset"].get("name") and result["dataset"].get("type")):
                faults.append('"model-index" lacks task or dataset')
            if not all(isinstance(metric.get("value"), int | float) for metric in result["metrics"]):
                faults.append('"model-index" has a metric without number')
    return faults
