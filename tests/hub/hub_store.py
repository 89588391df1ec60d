"""The Hub's repositories in memory: commits, branches, pull requests, large files, and who may do what.

Nothing here knows HTTP: `hub_routes` turns requests into these calls and `Refusal` into an answer.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

#: A file above this many bytes, or with one of these endings, is kept as a large file.
LARGE = 1_000_000
LARGE_SUFFIXES = (".safetensors", ".bin", ".pt", ".png")
#: What every new repository begins with.
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES).encode()


class Refusal(Exception):
    """An error the Hub answers: HTTP status, message, and the code by which the client picks its exception."""

    def __init__(self, status: int, message: str, code: str = "", **more: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.more = status, message, code, more


@dataclass(frozen=True)
class Account:
    """Whom a token belongs to and whether it may write; `namespaces` are the user's and those of organisations."""

    user: str
    role: str = "write"
    organisations: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.user, *self.organisations)


@dataclass(frozen=True)
class Blob:
    """A file's content. Git keeps of a large one only a pointer that names its sha256 and size."""

    content: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        spec = "https://git-lfs.github.com/spec/v1"
        return f"version {spec}\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()

    @cached_property
    def oid(self) -> str:
        """Git's hash of the content, or of the pointer."""
        data = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def etag(self) -> str:
        """By what the client knows the content: sha256 of a large file, git's hash of another."""
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Commit:
    """A state of all files, and how it came about."""

    sha: str
    parent: str | None
    title: str
    description: str
    author: str
    files: Mapping[str, Blob]
    date: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def blob(self, path: str) -> Blob:
        if path not in self.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": self.sha})
        return self.files[path]


def is_large(path: str, size: int) -> bool:
    return size > LARGE or path.endswith(LARGE_SUFFIXES)


class Repo:
    """One repository: its commits by hash, its refs (`refs/heads/main`, `refs/pr/1`) and its large files by sha256."""

    def __init__(self, name: str, author: str, private: bool = False, gated: bool = False) -> None:
        self.name, self.private, self.gated = name, private, gated
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}
        files = {".gitattributes": Blob(GIT_ATTRIBUTES, large=False)}
        self.append("refs/heads/main", None, files, "initial commit", "", author)

    def append(
        self, ref: str, parent: Commit | None, files: Mapping[str, Blob], title: str, description: str, author: str
    ) -> Commit:
        """A commit of these files after its parent, to which the ref then points."""
        seed = [self.name, str(len(self.commits)), title, *(f"{path} {files[path].oid}" for path in sorted(files))]
        sha = hashlib.sha1("\n".join(seed).encode()).hexdigest()
        commit = Commit(sha, parent.sha if parent else None, title, description, author, dict(files))
        self.commits[sha] = commit
        self.refs[ref] = sha
        return commit

    def ref(self, revision: str) -> str | None:
        """Full name of a branch, tag or pull request; None where there is none."""
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((name for name in names if name in self.refs), None)

    def at(self, revision: str) -> Commit:
        """The commit of a branch, tag, pull request or full hash."""
        sha = self.refs[ref] if (ref := self.ref(revision)) else revision
        if sha not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    def history(self, revision: str) -> list[Commit]:
        """The commit and those before it, newest first."""
        found = [self.at(revision)]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found

    def open_pull_request(self, start: Commit) -> str:
        """A new `refs/pr/N` that begins at a commit."""
        number = 1 + sum(name.startswith("refs/pr/") for name in self.refs)
        self.refs[f"refs/pr/{number}"] = start.sha
        return f"refs/pr/{number}"

    def commit(self, revision: str, lines: Iterable[Mapping[str, Any]], author: str, pull_request: bool) -> Commit:
        """What the client sends as lines of JSON: first the header, then one line a file.

        Raises:
            Refusal: 412 where the branch is no longer at `parentCommit`; 404 where a file to delete is missing;
                400 where a large file was not uploaded.
        """
        head = self.at(revision)
        ref = self.ref(revision)
        if ref is None or ref.startswith("refs/tags/"):
            raise Refusal(400, "A commit must go to a branch or a pull request")
        header, *changes = lines
        about = header["value"]
        expected = about.get("parentCommit")
        if expected and pull_request:
            starts = [commit for sha, commit in self.commits.items() if sha.startswith(expected)]
            head = starts[0] if starts else self.at(expected)
        elif expected and not head.sha.startswith(expected):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for change in changes:
            self._apply(files, change["key"], change["value"])
        if pull_request:
            ref = self.open_pull_request(head)
        return self.append(ref, head, files, about["summary"], about.get("description", ""), author)

    def _apply(self, files: dict[str, Blob], key: str, value: Mapping[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = Blob(base64.b64decode(value["content"]), large=False)
        elif key == "lfsFile":
            if value["oid"] not in self.objects:
                raise Refusal(400, f"An LFS pointer pointed to a file that does not exist. Offending file: {path}")
            files[path] = Blob(self.objects[value["oid"]], large=True)
        elif key in ("deletedFile", "deletedFolder"):
            gone = [p for p in files if p == path or (key == "deletedFolder" and p.startswith(path.rstrip("/") + "/"))]
            if not gone:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del files[name]
        else:
            raise Refusal(400, f"Unknown operation: {key}")

    def add(self, files: Mapping[str, bytes], author: str) -> Commit:
        """A commit of these files on main without any upload."""
        head = self.at("main")
        blobs = {path: Blob(content, is_large(path, len(content))) for path, content in files.items()}
        self.objects |= {blob.sha256: blob.content for blob in blobs.values() if blob.large}
        return self.append("refs/heads/main", head, {**head.files, **blobs}, "Add files", "", author)


class Store:
    """All repositories, and the accounts by their tokens."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self.accounts = dict(accounts)
        self.repos: dict[str, Repo] = {}

    def account(self, authorization: str | None) -> Account | None:
        """Whose request it is, by its header; None for an anonymous one."""
        if authorization is None:
            return None
        account = self.accounts.get(authorization.removeprefix("Bearer "))
        if account is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return account

    def create(self, name: str, account: Account | None, private: bool) -> Repo:
        """A new repository with its first commit."""
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        namespace = name.partition("/")[0]
        if account.role != "write" or namespace not in account.namespaces:
            raise Refusal(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        if name in self.repos:
            raise Refusal(409, "You already created this model repo")
        self.repos[name] = Repo(name, account.user, private)
        return self.repos[name]

    def readable(self, name: str, account: Account | None) -> Repo:
        """The repository, where the account may see that there is one."""
        repo = self.repos.get(name)
        owned = account is not None and name.partition("/")[0] in account.namespaces
        if repo is None or (repo.private and not owned):
            # The Hub sends the 401 without a code; the client takes that for a missing repository by an https URL only.
            raise (
                Refusal(404, "Repository not found", "RepoNotFound")
                if account
                else Refusal(401, "Invalid username or password.", "RepoNotFound")
            )
        return repo

    def downloadable(self, name: str, account: Account | None) -> Repo:
        """The repository, where the account may read its files too: not those of a gated one."""
        repo = self.readable(name, account)
        if repo.gated and (account is None or name.partition("/")[0] not in account.namespaces):
            message = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            raise Refusal(403 if account else 401, message, "GatedRepo")
        return repo

    def writable(self, name: str, account: Account | None, pull_request: bool = False) -> Repo:
        """The repository, where the account may write to it: to one of others only by a pull request."""
        repo = self.readable(name, account)
        if account is None:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        if account.role != "write":
            raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
        if name.partition("/")[0] not in account.namespaces and not pull_request:
            raise Refusal(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repo
