"""How files leave and enter the Hub: `resolve` and the storage it redirects to, the LFS upload, the commit."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

import yaml
from hub_routes import MODEL, NAME, REVISION, STORAGE, Ask, Reply, answer, ascii_of, card_of, route, signature, signed
from hub_store import Refusal, is_large

LARGE_FILES = rf"/{NAME}\.git/info/lfs/objects"
OID = "(?P<oid>[0-9a-f]{64})"


def content(path: str, etag: str, body: bytes, served: tuple[str, str], **headers: str) -> Reply:
    file = path.rpartition("/")[2]
    headers |= {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(file)}; filename=\"{ascii_of(file)}\";"
    return Reply(200, body, headers, served)


@route("GET", f"/{NAME}/resolve/{REVISION}/(?P<path>.+)")
def resolve(ask: Ask, name: str, revision: str, path: str) -> Reply:
    """A small file itself; of a large one where it lies, with its size and hash in headers of the redirect."""
    commit = ask.store.downloadable(name, ask.account).at(revision)
    blob = commit.blob(path)
    headers = {"X-Repo-Commit": commit.sha}
    if not blob.large:
        return content(path, blob.etag, blob.content, (name, path), **headers)
    headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.content)), "Accept-Ranges": "bytes"}
    headers["Location"] = signed(ask, f"/storage/{name}/{blob.sha256}/{quote(path)}")
    return Reply(302, b"Found. Redirecting to the storage", headers)


@route("GET", f"/storage/{NAME}/{OID}/(?P<path>.+)", STORAGE)
def download(ask: Ask, name: str, oid: str, path: str) -> Reply:
    check_signature(ask, f"/storage/{name}/{oid}/{quote(path)}")
    body = ask.store.repos[name].objects[oid]
    return content(path, hashlib.md5(oid.encode()).hexdigest(), body, (name, path))


@route("PUT", f"/storage/{NAME}/{OID}", STORAGE)
def upload(ask: Ask, name: str, oid: str) -> Reply:
    check_signature(ask, f"/storage/{name}/{oid}")
    if hashlib.sha256(ask.body).hexdigest() != oid:
        raise Refusal(400, "The SHA256 you specified did not match the calculated checksum.")
    ask.store.repos[name].objects[oid] = ask.body
    return Reply(200, headers={"ETag": f'"{hashlib.md5(oid.encode()).hexdigest()}"'})


def check_signature(ask: Ask, path: str) -> None:
    """As the storage does: a signed address, and no token beside it."""
    if "Authorization" in ask.headers:
        raise Refusal(400, "Only one auth mechanism allowed: a signed address came with an Authorization header")
    if ask.query.get("signature") != [signature(path)]:
        raise Refusal(403, "Access denied: the address is not signed")


@route("POST", f"{MODEL}/preupload/{REVISION}")
def preupload(ask: Ask, name: str, revision: str) -> Reply:
    """Which files are to be uploaded as large ones, and what there is under their names now."""
    commit = ask.store.writable(name, ask.account, ask.flag("create_pr")).at(revision)
    files: list[dict[str, Any]] = []
    for file in ask.json["files"]:
        path = file["path"]
        mode = "lfs" if is_large(path, file["size"]) else "regular"
        known = {"oid": commit.files[path].etag} if path in commit.files else {}
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return answer({"files": files})


@route("POST", f"{LARGE_FILES}/batch")
def batch(ask: Ask, name: str) -> Reply:
    """Where to put each large file; nowhere, if it is known. Who may commit is asked later: this may be for a PR."""
    repo = ask.store.writable(name, ask.account, pull_request=True)
    objects: list[dict[str, Any]] = []
    for wanted in ask.json["objects"]:
        actions = {
            "upload": {"href": signed(ask, f"/storage/{name}/{wanted['oid']}"), "header": {}},
            "verify": {"href": f"{ask.endpoint}/{name}.git/info/lfs/objects/verify", "header": {}},
        }
        known = wanted["oid"] in repo.objects
        objects.append({**wanted, "authenticated": True, **({} if known else {"actions": actions})})
    return answer({"transfer": "basic", "objects": objects})


@route("POST", f"{LARGE_FILES}/verify")
def verify(ask: Ask, name: str) -> Reply:
    repo = ask.store.writable(name, ask.account, pull_request=True)
    if len(repo.objects.get(ask.json["oid"], b"")) != ask.json["size"]:
        raise Refusal(404, "Object not found, or of another size")
    return answer({})


@route("POST", f"{MODEL}/commit/{REVISION}")
def commit(ask: Ask, name: str, revision: str) -> Reply:
    """A commit to a branch or pull request, or with `create_pr=1` a new pull request that holds it."""
    pull_request = ask.flag("create_pr")
    repo = ask.store.writable(name, ask.account, pull_request)
    lines = [json.loads(line) for line in ask.body.splitlines() if line.strip()]
    assert ask.account is not None
    made = repo.commit(revision, lines, ask.account.user, pull_request)
    told: dict[str, Any] = {"success": True, "commitOid": made.sha, "hookOutput": ""}
    told["commitUrl"] = f"{ask.endpoint}/{name}/commit/{made.sha}"
    if pull_request:
        number = next(ref for ref, sha in repo.refs.items() if sha == made.sha).rpartition("/")[2]
        told["pullRequestUrl"] = f"{ask.endpoint}/{name}/discussions/{number}"
    return answer(told)


@route("POST", "/api/validate-yaml")
def validate_yaml(ask: Ask) -> Reply:
    """The card's YAML: it must be read, and have the Hub's form where it states a licence or results."""
    errors: list[str] = []
    try:
        card = card_of(ask.json["content"])
    except yaml.YAMLError as error:
        card, errors = {}, [str(error)]
    if card is not None and not errors:
        errors = card_errors(card)
    warnings = ["empty or missing yaml metadata in repo card"] if not card and not errors else []
    told = {"errors": [{"message": m} for m in errors], "warnings": [{"message": m} for m in warnings]}
    return answer(told, 400 if errors else 200)


def card_errors(card: Any) -> list[str]:
    """What the Hub would refuse of a card's metadata: its most common rules, not all of them."""
    if not isinstance(card, dict):
        return ["metadata must be a mapping"]
    errors = []
    if "license" in card and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", str(card["license"])):
        errors.append('"license" must be one of the identifiers of the Hub, such as apache-2.0')
    if not isinstance(card.get("tags", []), list) or not all(isinstance(tag, str) for tag in card.get("tags", [])):
        errors.append('"tags" must be an array of strings')
    for i, model in enumerate(card.get("model-index") or []):
        required = {f"model-index[{i}].name": model.get("name")}
        for j, result in enumerate(model.get("results") or []):
            at = f"model-index[{i}].results[{j}]"
            required |= {f"{at}.task.type": (result.get("task") or {}).get("type")}
            required |= {f"{at}.dataset.{key}": (result.get("dataset") or {}).get(key) for key in ("name", "type")}
            for k, metric in enumerate(result.get("metrics") or []):
                required |= {f"{at}.metrics[{k}].{key}": metric.get(key) for key in ("type", "value")}
        errors += [f'"{key}" is required' for key, value in required.items() if value is None]
    return errors
