"""A Hub of a test's own on 127.0.0.1, for the real client of huggingface_hub.

It speaks HTTP/1.1 on two ports: one for the Hub, one for the storage of large files, which to the client is another
origin. What it answers is in `hub_routes` and `hub_transfers`; here are the server, its faults and its log.
"""

from __future__ import annotations

import re
import socket
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import hub_transfers  # noqa: F401 (it registers its routes)
from hub_routes import ROUTES, STORAGE, Ask, Reply, answer, dispatch, refuse
from hub_store import Account, Commit, Refusal, Repo, Store

Change = Callable[[bytes], bytes]


class Request(NamedTuple):
    """A request as the log has it: the path without its query, and the Range header."""

    method: str
    path: str
    status: int
    range: str | None


@dataclass
class Fault:
    """What befalls the next requests whose `METHOD PATH` fits: an answer instead, or an end after so many bytes."""

    pattern: re.Pattern[str]
    times: int
    reply: Reply | None = None
    after: int | None = None


@dataclass
class Hub:
    """The server with its repositories; `start` and `stop`, or a `with` block.

    Args:
        home: Folder for the client's cache and tokens.
        user: The user of `token` (write) and `read_token`; `other_token` is another user's.
    """

    home: Path
    user: str = "someone"
    token: str = "hf_write"
    read_token: str = "hf_read"
    other_token: str = "hf_other"
    requests: list[Request] = field(default_factory=list)
    #: Tracebacks of the server itself: a test that finds one here has found a fault of the server.
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        accounts = {self.token: Account(self.user), self.read_token: Account(self.user, "read")}
        self.store = Store(accounts | {self.other_token: Account("other")})
        self.lock = threading.RLock()
        self.repair()
        # Some versions of the client compare only the names of two hosts.
        self._servers = [_Server(self, ROUTES, "127.0.0.1"), _Server(self, STORAGE, "localhost")]
        self.endpoint, self.storage = (server.address for server in self._servers)

    def start(self) -> Hub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End at once; connections that are open are cut."""
        for server in self._servers:
            server.stop()

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def env(self) -> dict[str, str]:
        """Variables by which the client of another process uses this server."""
        home, local = str(self.home), "127.0.0.1,localhost"
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": home,
            "HF_HUB_CACHE": str(self.home / "hub"),
            "HF_TOKEN_PATH": str(self.home / "token"),
            "HF_TOKEN": self.token,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": local,
            "no_proxy": local,
        }

    def add(self, repo: str, files: Mapping[str, bytes], private: bool = False, gated: bool = False) -> str:
        """Commit files to main without the client, making the repository where there is none; the commit's hash."""
        with self.lock:
            if repo not in self.store.repos:
                self.store.repos[repo] = Repo(repo, self.user, private, gated)
            return self.store.repos[repo].add(files, self.user).sha

    def read(self, repo: str, revision: str, path: str) -> bytes:
        """A file as it is recorded, whatever faults are set."""
        return self.store.repos[repo].at(revision).blob(path).content

    def commits(self, repo: str, revision: str = "main") -> list[Commit]:
        """Newest first: `sha`, `parent`, `title`, `description`, `author`, `files` (path to `Blob`)."""
        return self.store.repos[repo].history(revision)

    def seen(self, pattern: str) -> list[Request]:
        """The requests so far whose `METHOD PATH` has the regular expression somewhere."""
        return [r for r in list(self.requests) if re.search(pattern, f"{r.method} {r.path}")]

    def fail(
        self, pattern: str, status: int = 500, times: int = 1, headers: Mapping[str, str] | None = None, text: str = ""
    ) -> None:
        """Answer the next requests that fit the pattern with this status instead."""
        reply = refuse(Refusal(status, text or f"as the test has it: {status}", **(headers or {})))
        self._faults.append(Fault(re.compile(pattern), times, reply=reply))

    def cut(self, pattern: str, after: int | None = 0, times: int = 1) -> None:
        """Close the connection after so many bytes of the next bodies; `after=None`: before any answer."""
        self._faults.append(Fault(re.compile(pattern), times, after=-1 if after is None else after))

    def alter(self, repo: str, path: str, change: Change) -> None:
        """Send other bytes for a file; size and hash in the metadata remain those of the true ones."""
        self._changes[repo, path] = change

    def truncate(self, repo: str, path: str, size: int, honest: bool = False) -> None:
        """Send only the first bytes of a file: `honest`, with their number as Content-Length; else with the whole's."""
        self._ends[repo, path] = (size, honest)

    def repair(self) -> None:
        """Take all faults away."""
        self._faults: list[Fault] = []
        self._changes: dict[tuple[str, str], Change] = {}
        self._ends: dict[tuple[str, str], tuple[int, bool]] = {}

    def next_fault(self, line: str) -> Fault | None:
        with self.lock:
            fault = next((f for f in self._faults if f.times > 0 and f.pattern.search(line)), None)
            if fault:
                fault.times -= 1
            return fault

    def as_served(self, reply: Reply) -> tuple[bytes, int | None]:
        """A file's bytes as changed, and where in the file the connection ends."""
        if reply.served is None:
            return reply.body, None
        body = self._changes.get(reply.served, bytes)(reply.body)
        size, honest = self._ends.get(reply.served, (None, False))
        return (body[:size], None) if honest else (body, size)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: Hub, routes: list[Any], host: str) -> None:
        self.hub, self.routes, self.host = hub, routes, host
        self.open: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.server_address[1]}"

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # The client may leave whenever it likes.
        if not isinstance(sys.exc_info()[1], OSError):
            self.hub.errors.append(traceback.format_exc())

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for request in list(self.open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_request(self) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        body = self.received()
        fault = hub.next_fault(f"{self.command} {url.path}")
        if fault and fault.after == -1:
            hub.requests.append(Request(self.command, url.path, 0, self.headers.get("Range")))
            self.close_connection = True
            return
        try:
            if fault and fault.reply:
                reply = fault.reply
            else:
                with hub.lock:
                    account = hub.store.account(self.headers.get("Authorization"))
                    query = parse_qs(url.query)
                    ask = Ask(hub.store, self.command, query, self.headers, body, account, hub.endpoint, hub.storage)
                    reply = dispatch(ask, url.path, self.server.routes)
        except Refusal as refusal:
            reply = refuse(refusal)
        except Exception:
            hub.errors.append(traceback.format_exc())
            reply = answer({"error": traceback.format_exc()}, 500)
        self.reply(url.path, reply, fault.after if fault else None)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def received(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def reply(self, path: str, reply: Reply, cut: int | None) -> None:
        """Send the answer: of a file the range that was asked for, as it is altered, until it is cut."""
        status, headers, body, start = reply.status, dict(reply.headers), reply.body, 0
        asked, end = self.headers.get("Range"), None
        if self.command == "GET":
            body, end = self.server.hub.as_served(reply)
            if reply.served and asked:
                status, start, body, headers["Content-Range"] = part(body, asked)
        self.server.hub.requests.append(Request(self.command, path, status, asked))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        limits = [len(body), *([cut] if cut is not None else []), *([max(end - start, 0)] if end is not None else [])]
        self.close_connection = self.close_connection or min(limits) < len(body)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(memoryview(body)[: min(limits)])


def part(body: bytes, asked: str) -> tuple[int, int, bytes, str]:
    """Status, first byte, bytes and Content-Range for a Range header of one range."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.strip())
    if not match or not any(match.groups()):
        return 416, 0, b"", f"bytes */{len(body)}"
    first, last = match.groups()
    start = int(first) if first else max(len(body) - int(last), 0)
    stop = min(int(last) + 1, len(body)) if first and last else len(body)
    if start >= stop:
        return 416, 0, b"", f"bytes */{len(body)}"
    return 206, start, body[start:stop], f"bytes {start}-{stop - 1}/{len(body)}"
