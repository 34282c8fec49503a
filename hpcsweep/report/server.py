"""Serve live pages on 127.0.0.1 or at a Unix socket, to those who know the address's token."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
import socket
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hpcsweep.errors import InputError
from hpcsweep.report.document import Live, document, time_text
from hpcsweep.report.live import LivePages, Snapshot

ADDRESS = "127.0.0.1"
# The names that a browser on this machine, or behind `ssh -L`, has for the server. Another one is
# that of a web page whose name server answers with 127.0.0.1.
HOSTS = frozenset({ADDRESS, "localhost", "::1"})
# Seconds after which a connection that waits for news gets a line, so that one that ended is seen;
# and after which a page that waits for its first reading asks again, so that it is not forgotten.
HEARTBEAT_S = 15.0
# How often it asks: ten minutes, for a very large sweep on a slow file system.
TRIES_MAX = 40
# /TOKEN/, /TOKEN/SWEEP/, and what the page there asks for.
PATH = re.compile(r"/(?P<token>[^/]+)/(?:(?P<place>[^/]+)/)?(?P<what>|update|events)")
HEADERS = {
    # The page itself has the rest: the hashes of its scripts.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ViewServer(ThreadingHTTPServer):
    """A server of live pages."""

    daemon_threads = True

    def __init__(
        self, pages: LivePages, is_place: Callable[[str], bool], address: int | Path
    ) -> None:
        """Listen on a port of the loopback, 0 for a free one, or at a socket that is made.

        *Raises* OSError.
        """
        self.pages = pages
        self.is_place = is_place
        self.token = secrets.token_urlsafe()
        # The socket, if it is at one.
        self.path = address if isinstance(address, Path) else None
        if isinstance(address, Path):
            self.address_family = socket.AF_UNIX
            super().__init__(str(address), _PageHandler)  # type: ignore[arg-type]
        else:
            super().__init__((ADDRESS, address), _PageHandler)

    def server_bind(self) -> None:
        """Bind without a look-up of the host's name; a socket is for its owner alone."""
        before = os.umask(0o177)
        try:
            socketserver.TCPServer.server_bind(self)
        finally:
            os.umask(before)

    @property
    def port(self) -> int:
        """The port on the loopback."""
        return int(self.server_address[1])


@contextmanager
def served(
    pages: LivePages, is_place: Callable[[str], bool], address: int | Path = 0
) -> Iterator[ViewServer]:
    """Answer requests in threads while the block runs, at a port or a socket.

    `is_place` tells the pages there are. *Raises* InputError for an address that cannot be used.
    *Writes* the socket, and removes it.
    """
    try:
        if isinstance(address, Path):
            _remove_left_socket(address)
        server = ViewServer(pages, is_place, address)
    except OSError as error:
        raise InputError(
            f"cannot listen there: {error.strerror or error}",
            where=str(address),
            next_step="Name another --socket, or --port; without either there is a free port.",
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        if server.path is not None:
            server.path.unlink(missing_ok=True)


def _remove_left_socket(path: Path) -> None:
    """Remove the socket of a server that was killed. *Raises* OSError."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


class _PageHandler(BaseHTTPRequestHandler):
    """Answer one request."""

    server: ViewServer
    timeout = 60.0
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Send a page, its update, or its events."""
        if not self._is_for_us():
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        asked = PATH.fullmatch(self.path)
        if asked is None or not hmac.compare_digest(
            asked["token"].encode(), self.server.token.encode()
        ):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        place = unquote(asked["place"] or "")
        if not self.server.is_place(place):
            self.send_error(HTTPStatus.NOT_FOUND)
        elif asked["what"] == "events":
            self._send_events(place)
        else:
            self._send_page(place, is_update=asked["what"] == "update")

    def _refuse(self) -> None:
        """Answer that pages are read by GET alone."""
        self.send_response(HTTPStatus.METHOD_NOT_ALLOWED)
        self.send_header("Allow", "GET")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _is_for_us(self) -> bool:
        """Whether the Host is one of ours, with any port: `ssh -L` may forward another."""
        hosts = self.headers.get_all("Host", [])
        try:
            return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in HOSTS
        except ValueError:
            return False

    def _send_page(self, place: str, *, is_update: bool) -> None:
        tries = (self.server.pages.snapshot(place, HEARTBEAT_S) for _ in range(TRIES_MAX))
        snapshot = next(filter(None, tries), None)
        if snapshot is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        content = snapshot.content
        live = Live(version=snapshot.version, has_list=bool(place), is_update=is_update)
        body = document(content.name, content.made, content.sections, live).encode()
        self._send_head("text/html; charset=utf-8")
        self.wfile.write(body)

    def _send_events(self, place: str) -> None:
        """Tell of each reading, until the other side ends."""
        self._send_head("text/event-stream")
        reading = 0
        while True:
            snapshot = self.server.pages.snapshot(place, HEARTBEAT_S, after=reading)
            if snapshot is not None:
                reading = snapshot.reading
            self.wfile.write(_event(snapshot).encode())

    def _send_head(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def end_headers(self) -> None:
        """End the head of any answer, with what a browser may do with it."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def handle(self) -> None:
        """Answer, unless the other side is gone."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def version_string(self) -> str:
        """The name of the server, without versions."""
        return "hpcsweep"

    def log_message(self, *_: object) -> None:
        """Log nothing: an address has the token in it."""


def _event(snapshot: Snapshot | None) -> str:
    """A reading as a Server-Sent Event; a comment for none."""
    if snapshot is None:
        return ":\n\n"
    news = {"version": snapshot.version, "made": time_text(snapshot.content.made)}
    return f"data: {json.dumps(news)}\n\n"
