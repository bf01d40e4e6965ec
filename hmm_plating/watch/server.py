"""The page over HTTP, for this computer alone: GET of a handful of known paths, on the loopback address."""

from __future__ import annotations

import errno
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from hmm_plating.errors import InputError
from hmm_plating.watch.reader import RunReader

LOOPBACK = "127.0.0.1"
HOSTS = {LOOPBACK, "localhost"}  # whatever the port: a tunnel may end at another
ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class PageServer(ThreadingHTTPServer):
    """Serves the page of one run; it can be bound to no other address than 127.0.0.1.

    Args:
        reader: of the run.
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken or not permitted.
    """

    daemon_threads = True

    def __init__(self, reader: RunReader, port: int = 0) -> None:
        self.reader = reader
        folder = files("hmm_plating.watch")
        self.assets = {path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in ASSETS.items()}
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise InputError(f"port {port} cannot be opened ({reason}): choose another --port, or none") from error

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "hmm-plating", ""
    timeout = 10  # s, for a client that opens a connection and says nothing

    def handle(self) -> None:
        with suppress(ConnectionError):  # the page was closed meanwhile
            super().handle()

    def do_GET(self) -> None:
        if not self._host_allowed():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this page answers to 127.0.0.1 and localhost only")
        elif self.path == "/status.json":
            self.server.reader.ask()
            self._answer(self.server.reader.status(), "application/json")
        elif self.path == "/run.json":
            self._answer(self.server.reader.data, "application/json")
        elif self.path in self.server.assets:
            self._answer(*self.server.assets[self.path])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _refuse(self) -> None:
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def _host_allowed(self) -> bool:
        """Whether the browser meant this computer: a foreign name that was made to resolve to it says so in Host."""
        hosts = self.headers.get_all("Host", [])
        try:
            return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in HOSTS
        except ValueError:
            return False

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal stays quiet."""
