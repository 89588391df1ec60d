"""What the Hub answers at each address, in the words its Python client reads.

The client asks for a file at `/USER/NAME/resolve/REVISION/PATH`. Of a large one the answer is a redirect to the
storage, which is another origin: it takes signed addresses, and no token. The same holds for uploads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml
from hub_store import Account, Blob, Commit, Refusal, Repo, Store

#: A revision is one part of an address, quoted, or the three of `refs/pr/1` as they are.
REVISION = r"(?P<revision>refs/(?:pr|heads|tags)/[^/]+|[^/]+)"
NAME = r"(?P<name>[^/]+/[^/]+)"
MODEL = rf"/api/models/{NAME}"


@dataclass
class Ask:
    """A request, with whose it is and the addresses of the Hub and of its storage."""

    store: Store
    method: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    account: Account | None
    endpoint: str
    storage: str

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    def flag(self, key: str) -> bool:
        return self.query.get(key, [""])[-1].lower() in ("1", "true")


@dataclass
class Reply:
    """An answer. `served` names the file (repository, path) whose content the body is, as faults are meant for it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    served: tuple[str, str] | None = None


def answer(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value, default=str).encode(), {"Content-Type": "application/json", **headers})


def ascii_of(text: str) -> str:
    """The text as a header can carry it."""
    return " ".join(text.encode("ascii", "replace").decode().split())


def refuse(refusal: Refusal) -> Reply:
    headers = {"X-Error-Message": ascii_of(refusal.message)}
    headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
    return answer({"error": refusal.message}, refusal.status, **headers, **refusal.more)


Route = Callable[..., Reply]
#: Those of the Hub and those of its storage, in the order they are tried.
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []
STORAGE: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str, table: list[tuple[str, re.Pattern[str], Route]] = ROUTES) -> Callable[..., Route]:
    """The function answers requests of this method (HEAD as GET) whose path is this pattern."""

    def register(function: Route) -> Route:
        table.append((method, re.compile(pattern), function))
        return function

    return register


def dispatch(ask: Ask, path: str, table: list[tuple[str, re.Pattern[str], Route]]) -> Reply:
    """The answer of the first route that fits; its groups are unquoted."""
    method = "GET" if ask.method == "HEAD" else ask.method
    for expected, pattern, function in table:
        if expected == method and (match := pattern.fullmatch(path)):
            return function(ask, **{key: unquote(value or "") for key, value in match.groupdict().items()})
    raise Refusal(404, f"Sorry, we can't find the page you are looking for: {ask.method} {path}")


def signature(path: str) -> str:
    return hashlib.sha256(b"storage" + path.encode()).hexdigest()[:16]


def signed(ask: Ask, path: str) -> str:
    return f"{ask.storage}{path}?signature={signature(path)}"


@route("GET", "/api/whoami-v2")
def whoami(ask: Ask) -> Reply:
    if ask.account is None:
        raise Refusal(401, "Invalid username or password.")
    user = ask.account.user
    orgs = [{"type": "org", "name": name} for name in ask.account.organisations]
    auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": ask.account.role}}
    return answer({"type": "user", "id": user, "name": user, "fullname": user, "orgs": orgs, "auth": auth})


@route("GET", "/api/agent-harnesses")
def harnesses(ask: Ask) -> Reply:
    return answer({"standardEnvVars": [], "harnesses": {}})


def named(ask: Ask) -> str:
    value = ask.json
    if value.get("type") not in (None, "model"):
        raise Refusal(400, "Only models are kept here")
    return f"{value.get('organization') or (ask.account.user if ask.account else '')}/{value['name']}"


@route("POST", "/api/repos/create")
def create(ask: Ask) -> Reply:
    name = named(ask)
    private = ask.json.get("visibility") == "private" or bool(ask.json.get("private"))
    told = {"url": f"{ask.endpoint}/{name}", "name": name}
    try:
        ask.store.create(name, ask.account, private)
    except Refusal as refusal:
        return answer({"error": refusal.message, **told}, refusal.status, **{"X-Error-Message": refusal.message})
    return answer(told)


@route("DELETE", "/api/repos/delete")
def delete(ask: Ask) -> Reply:
    ask.store.writable(named(ask), ask.account)
    del ask.store.repos[named(ask)]
    return answer({})


def large_facts(blob: Blob, key: str) -> dict[str, Any]:
    facts = {key: blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return {"lfs": facts} if blob.large else {}


def card_of(content: str) -> Any:
    """The YAML above a model card; None where there is none."""
    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|$)", content, re.DOTALL)
    return yaml.safe_load(match[1]) if match else None


@route("GET", MODEL)
@route("GET", f"{MODEL}/revision/{REVISION}")
def info(ask: Ask, name: str, revision: str = "main") -> Reply:
    repo = ask.store.readable(name, ask.account)
    commit = repo.at(revision)
    siblings = [
        {"rfilename": path, **({"size": len(b.content), "blobId": b.oid, **large_facts(b, "sha256")} if blobs else {})}
        for blobs in [ask.flag("blobs")]
        for path, b in sorted(commit.files.items())
    ]
    card = card_of(commit.files["README.md"].content.decode()) if "README.md" in commit.files else None
    facts = {"id": name, "modelId": name, "author": name.partition("/")[0], "sha": commit.sha, "private": repo.private}
    facts |= {"gated": "auto" if repo.gated else False, "disabled": False, "downloads": 0, "likes": 0}
    facts |= {"lastModified": stamp(commit), "tags": (card or {}).get("tags", []), "siblings": siblings}
    facts |= {key: card[key] for key in ("library_name", "pipeline_tag") if card and key in card}
    return answer({**facts, **({"cardData": card} if card else {})})


def stamp(commit: Commit) -> str:
    return commit.date.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@route("PUT", f"{MODEL}/settings")
def settings(ask: Ask, name: str) -> Reply:
    repo = ask.store.writable(name, ask.account)
    repo.private = ask.json.get("private", ask.json.get("visibility", repo.private)) in (True, "private")
    repo.gated = bool(ask.json.get("gated", repo.gated))
    return answer({"private": repo.private, "gated": repo.gated})


@route("GET", f"{MODEL}/auth-check(?P<write>/write)?")
def auth_check(ask: Ask, name: str, write: str) -> Reply:
    (ask.store.writable if write else ask.store.downloadable)(name, ask.account)
    return answer({})


@route("GET", f"{MODEL}/refs")
def refs(ask: Ask, name: str) -> Reply:
    found: dict[str, list[dict[str, str]]] = {kind: [] for kind in ("heads", "tags", "pr")}
    for ref, sha in ask.store.readable(name, ask.account).refs.items():
        _, kind, short = ref.split("/", 2)
        found[kind].append({"name": short, "ref": ref, "targetCommit": sha})
    listed = {"branches": found["heads"], "tags": found["tags"], "converts": []}
    return answer({**listed, "pullRequests": found["pr"]} if ask.flag("include_prs") else listed)


@route("POST", f"{MODEL}/branch/(?P<branch>.+)")
def branch(ask: Ask, name: str, branch: str) -> Reply:
    repo = ask.store.writable(name, ask.account)
    return point(repo, f"refs/heads/{branch}", repo.at(ask.json.get("startingPoint", "main")))


@route("POST", f"{MODEL}/tag/{REVISION}")
def tag(ask: Ask, name: str, revision: str) -> Reply:
    repo = ask.store.writable(name, ask.account)
    return point(repo, f"refs/tags/{ask.json['tag']}", repo.at(revision))


def point(repo: Repo, ref: str, commit: Commit) -> Reply:
    if ref in repo.refs:
        raise Refusal(409, f"Reference already exists: {ref}")
    repo.refs[ref] = commit.sha
    return answer({})


@route("DELETE", f"{MODEL}/(?P<kind>branch|tag)/(?P<short>.+)")
def unpoint(ask: Ask, name: str, kind: str, short: str) -> Reply:
    repo = ask.store.writable(name, ask.account)
    ref = f"refs/{'heads' if kind == 'branch' else 'tags'}/{short}"
    if ref not in repo.refs:
        raise Refusal(404, f"Reference doesn't exist: {ref}", "RevisionNotFound")
    del repo.refs[ref]
    return answer({})


def entry(commit: Commit, path: str) -> dict[str, Any]:
    """A file or folder as listings have it."""
    if path not in commit.files:
        return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}
    blob = commit.files[path]
    return {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": path, **large_facts(blob, "oid")}


def folders(commit: Commit) -> set[str]:
    return {path[:i] for path in commit.files for i, letter in enumerate(path) if letter == "/"}


@route("GET", f"{MODEL}/tree/{REVISION}(?:/(?P<folder>.+))?")
def tree(ask: Ask, name: str, revision: str, folder: str) -> Reply:
    commit = ask.store.readable(name, ask.account).at(revision)
    above = f"{folder}/" if folder else ""
    below = [p for p in sorted({*commit.files, *folders(commit)}) if p.startswith(above)]
    if not below:
        raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
    return answer([entry(commit, p) for p in below if ask.flag("recursive") or "/" not in p[len(above) :]])


@route("POST", f"{MODEL}/paths-info/{REVISION}")
def paths_info(ask: Ask, name: str, revision: str) -> Reply:
    commit = ask.store.readable(name, ask.account).at(revision)
    as_json = "json" in ask.headers.get("Content-Type", "")
    paths = ask.json["paths"] if as_json else parse_qs(ask.body.decode()).get("paths", [])
    return answer([entry(commit, path) for path in paths if path in commit.files or path in folders(commit)])


@route("GET", f"{MODEL}/commits/{REVISION}")
def commits(ask: Ask, name: str, revision: str) -> Reply:
    history = ask.store.readable(name, ask.account).history(revision)
    return answer(
        [
            {"id": c.sha, "title": c.title, "message": c.description, "authors": [{"user": c.author}], "date": stamp(c)}
            for c in history
        ]
    )
