"""Behind nginx with a bare `proxy_pass`, all clients seem to be on this machine, and still need a token."""

from pathlib import Path

from tests.support.http_clients import client
from tests.support.machines.nginx import nginx_before
from tests.support.services.command_line import Served

VERIFY = "/api/v1/admin/projections/verify"


def test_through_a_bare_proxy_nobody_comes_in_without_a_token(tmp_path: Path) -> None:
    with (
        Served(tmp_path / "data", "--http", "127.0.0.1:0") as served,
        nginx_before(served.runtime["http_url"], tmp_path / "nginx") as address,
        client(address, timeout=20) as http,
    ):
        assert http.get("/livez").status_code == 200
        assert http.get("/readyz").status_code == 200
        for method, path in (
            ("POST", VERIFY),
            ("POST", "/api/v1/admin/backup/restore"),
            ("POST", "/api/v1/jobs"),
            ("GET", "/api/v1/jobs"),
            ("GET", "/api/v1/events"),
            ("GET", "/metrics"),
            ("GET", "/session"),
        ):
            assert http.request(method, path).status_code == 401, path
        assert http.get("/console").headers["location"].endswith("/console/login")
        assert "set-cookie" not in http.get("/console").headers

        token = served.ask("token", "create", "ops", "--role", "admin")["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert http.post(VERIFY, headers=bearer).status_code == 200
        (served.data / "tokens.json").unlink()
        assert http.post(VERIFY, headers=bearer).status_code == 401
        assert http.post(VERIFY).status_code == 401

        # A link works through nginx, too; the used link in nginx's log lets no client in.
        link = served.ask("console")["url"].replace(served.runtime["http_url"], "")
        assert http.get(link).headers["location"].endswith("/console")
        assert http.get("/console").status_code == 200
        http.cookies.clear()
        assert link in (tmp_path / "nginx" / "access.log").read_text()
        assert http.get(link).status_code == 401
        assert link.partition("code=")[2] not in served.log.read_text()
