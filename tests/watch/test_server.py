"""The server: known paths, GET, this computer alone, and headers that let the page load nothing from elsewhere."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runs import Outcome, refused

from hmm_plating import InputError
from hmm_plating.watch import PageServer, RunReader

Serve = Callable[[Path], PageServer]


def ask(server: PageServer, path: str, method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    return connection.getresponse()


def test_it_is_bound_to_the_loopback_address_and_none_other(finished: Path, serve: Serve) -> None:
    server = serve(finished)
    assert server.socket.getsockname() == ("127.0.0.1", server.server_address[1])
    assert server.address == f"http://127.0.0.1:{server.server_address[1]}/"
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address leads outside
        others.add(probe.getsockname()[0])
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError):  # noqa: PT011 — refused, or no such network
            socket.create_connection((address, server.server_address[1]), timeout=2).close()


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("/page.css", "text/css; charset=utf-8", b":root"),
        ("/page.js", "text/javascript; charset=utf-8", b'"use strict"'),
        ("/icon.svg", "image/svg+xml", b"<svg"),
        ("/status.json", "application/json", b'"steps"'),
        ("/run.json", "application/json", b"null"),
    ],
)
def test_known_paths_are_answered(finished: Path, serve: Serve, path: str, kind: str, part: bytes) -> None:
    answer = ask(serve(finished), path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert part in answer.read()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "*" not in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/page.py", "/../setup.cfg", "/%2e%2e/setup.cfg", "/run.nc", "/page.css/", "/watch/", "/?x=1", "/."],
)
def test_all_others_are_not_found(finished: Path, serve: Serve, path: str) -> None:
    assert ask(serve(finished), path).status == 404


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_get_is_served(finished: Path, serve: Serve, method: str) -> None:
    assert ask(serve(finished), "/", method).status == 405


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "user@evil.example",
        "",
        "[",
    ],
)
def test_a_foreign_name_that_resolves_to_this_computer_is_refused(finished: Path, serve: Serve, host: str) -> None:
    """DNS rebinding: a page elsewhere that points its own name at 127.0.0.1 must not read the run."""
    server = serve(finished)
    server.reader.poll()
    answer = ask(server, "/run.json", host=host)
    assert answer.status == 421
    assert b"columns" not in answer.read()


def test_two_or_no_host_are_refused(finished: Path, serve: Serve) -> None:
    server = serve(finished)
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(server.server_address[:2], timeout=10) as connection:
            connection.sendall(b"GET /run.json HTTP/1.0\r\n" + hosts + b"\r\n")
            assert connection.recv(100).split()[1] == b"421"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1"])
def test_this_computer_by_name_or_through_a_tunnel_is_allowed(finished: Path, serve: Serve, host: str) -> None:
    assert ask(serve(finished), "/run.json", host=host).status == 200


def test_what_is_served_is_what_the_reader_read(finished: Path, serve: Serve) -> None:
    server = serve(finished)
    assert json.loads(ask(server, "/status.json").read())["version"] == 0
    server.reader.poll()
    assert json.loads(ask(server, "/status.json").read())["version"] == 1
    assert ask(server, "/run.json").read() == server.reader.data


def test_a_port_in_use_is_said(finished: Path, serve: Serve, run: Callable[..., Outcome]) -> None:
    port = serve(finished).server_address[1]
    with pytest.raises(InputError, match="in use"):
        PageServer(RunReader(finished), port)
    refused(run("watch", finished, "--port", str(port)), f"port {port} cannot be opened (in use)", "another --port")


def test_what_cannot_be_watched_is_said(
    finished: Path, tmp_path: Path, run: Callable[..., Outcome], small_model: Path
) -> None:
    refused(run("watch", tmp_path / "none.nc"), "none.nc: no such file")
    refused(run("watch", finished, "--port", "70000"), "from 0 to 65535")
    refused(run("watch", finished, "--model", tmp_path / "none.py"), "model file", "does not exist")
    everyone = tmp_path / "everyone.py"
    everyone.write_text(small_model.read_text())
    everyone.chmod(0o666)
    refused(run("watch", finished, "--model", everyone), "every user", "chmod o-w")
    assert "--host" not in run("watch", "--help").output


def test_the_command_prints_the_address_and_ends_with_an_interrupt(
    finished: Path, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: PageServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", interrupted)
    outcome = run("watch", finished)
    assert outcome.code == 0
    assert outcome.output.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "asked", ["GET /run.json HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /run", "HEAD / HTTP/1.1\r\n\r\n"]
)
def test_a_page_that_is_closed_meanwhile_is_no_error(
    finished: Path, serve: Serve, capfd: pytest.CaptureFixture[str], asked: str
) -> None:
    server = serve(finished)
    server.reader.data = b"0" * 20_000_000  # more than the system takes at once
    for wait in (0.1, 0.1, 0):
        with socket.create_connection(server.server_address[:2], timeout=10) as page:
            page.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closed by a reset
            page.sendall(asked.encode())
            time.sleep(wait)  # while it is answered, or before it is read
    assert ask(server, "/status.json").status == 200
    time.sleep(0.2)
    assert capfd.readouterr().err == ""
