"""A damaged or forged file of tokens lets no client in."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.http.access.tokens import TokenError, TokenFile
from tests.support.services.asking import HttpTalk, problem
from tests.support.services.command_line import hyperpage
from tests.support.services.watching import eventually

Mischief = Callable[[Path], None]


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_socket(file: Path) -> None:
    file.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(file))


def a_link_to(target: str) -> Mischief:
    def put(file: Path) -> None:
        file.unlink()
        file.symlink_to(target)

    return put


def half_of_it(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def in_place(content: bytes) -> Mischief:
    def put(file: Path) -> None:
        file.write_bytes(content)

    return put


def others_may_write(file: Path) -> None:
    file.chmod(0o666)


def all_the_time_in_the_world(file: Path) -> None:
    """Writes other content of the same length, and keeps the file's time."""
    about = file.stat()
    file.write_bytes(b" " * about.st_size)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))


MISCHIEF: dict[str, Mischief] = {
    "moved away": lambda file: file.unlink(),
    "emptied": in_place(b""),
    "no tokens": in_place(b'{"tokens": []}'),
    "an object": in_place(b"{}"),
    "a list": in_place(b"[]"),
    "null": in_place(b"null"),
    "other tokens": in_place(b'{"tokens": [{"name": "x"}]}'),
    "no UTF-8": in_place(b'{"tokens": ["\xff"]}'),
    "half of it": half_of_it,
    "large": in_place(b'{"tokens": [' + b" " * 5_000_000 + b"]}"),
    "a directory": a_directory,
    "a FIFO": a_fifo,
    "a socket": a_socket,
    "a device without an end": a_link_to("/dev/zero"),
    "a terminal": a_link_to("/dev/tty"),
    "a link to itself": a_link_to("tokens.json"),
    "a link to nothing": a_link_to("nowhere"),
    "others may write to it": others_may_write,
    "the same length and time": all_the_time_in_the_world,
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    with HttpTalk(tmp_path_factory.mktemp("guarded"), http_open=False, health_interval_seconds=0.1) as talk:
        yield talk


@pytest.mark.parametrize("what", MISCHIEF)
def test_once_there_was_a_token_nobody_comes_without(guarded: HttpTalk, what: str) -> None:
    file = guarded.data / "tokens.json"
    name = f"a-{list(MISCHIEF).index(what)}"
    _, secret = TokenFile(guarded.data).create(name, "admin")
    bearer = {"Authorization": f"Bearer {secret}"}
    logged_in = guarded.ask("POST", "/console/login", data={"token": secret})
    browser = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    assert guarded.get("/session", headers=bearer).json()["name"] == name
    assert guarded.get("/console", headers=browser).status_code == 200
    kept = file.read_bytes()

    MISCHIEF[what](file)

    problem(guarded.get("/session"), 401, "unauthorized")
    problem(guarded.post("/api/v1/admin/projections/verify"), 401, "unauthorized")
    problem(guarded.get("/session", headers=bearer), 401, "unauthorized")
    assert guarded.get("/console", headers=browser).status_code == 303
    assert guarded.get("/console").status_code == 303
    eventually(guarded, lambda: "tokens_unknown" in {one.cause for one in guarded.service.health.causes})

    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    file.unlink(missing_ok=True)
    file.write_bytes(kept)
    file.chmod(0o600)
    assert guarded.get("/session", headers=bearer).json()["name"] == name
    eventually(guarded, lambda: not guarded.service.health.causes)


@pytest.mark.parametrize("what", ["moved away", "emptied", "no tokens", "an object", "a FIFO", "a directory"])
def test_a_start_without_the_tokens_that_were_made_lets_nobody_in(tmp_path: Path, what: str) -> None:
    TokenFile(tmp_path).create("ops", "admin")
    MISCHIEF[what](tmp_path / "tokens.json")

    with HttpTalk(tmp_path, http_open=False) as talk:
        problem(talk.get("/session"), 401, "unauthorized")
        assert talk.get("/console").status_code == 303
        # The relay may not have begun.
        causes = {one["cause"]: one for one in talk.query("service.status").said["causes"]}
        cause = causes["tokens_unknown"]
        assert cause["level"] == "degraded"
        assert "tokens.json" in cause["message"]


def test_new_tokens_are_the_way_back_from_a_file_that_is_gone(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, http_open=False) as talk:
        TokenFile(tmp_path).create("ops", "admin")
        assert talk.get("/session").status_code == 401
        (tmp_path / "tokens.json").unlink()
        assert talk.get("/session").status_code == 401
        _, secret = TokenFile(tmp_path).create("ops", "read")
        assert talk.get("/session", headers={"Authorization": f"Bearer {secret}"}).json()["role"] == "read"
        assert talk.query("service.status").said["causes"] == []


def test_tokens_that_nobody_revoked_and_that_are_gone_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = TokenFile(tmp_path)
    with HttpTalk(tmp_path, http_open=False) as talk:
        secrets = [file.create(name, "read")[1] for name in ("one", "two")]
        bearers = [{"Authorization": f"Bearer {secret}"} for secret in secrets]
        assert [talk.get("/session", headers=one).status_code for one in bearers] == [200, 200]
        kept = json.loads(file.path.read_bytes())
        file.path.write_text(json.dumps({"tokens": kept["tokens"][1:]}))
        assert [talk.get("/session", headers=one).status_code for one in bearers] == [401, 200]
    assert "tokens that nobody revoked are gone, and let nobody in: one" in caplog.text


@pytest.mark.parametrize(
    "name", ["app", "admin", "anonymous", "hyperpage", "console", "", "-x", "A", "a.b", "a" * 65, "ä", "a\n"]
)
def test_a_name_that_somebody_else_has_or_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TokenError):
        TokenFile(tmp_path).create(name, "read")
    assert not (tmp_path / "tokens.lock").exists()


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tokens.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TokenError, match=r"tokens\.lock cannot be used"):
        TokenFile(tmp_path).create("ops", "read")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, 12_346)
    TokenFile(tmp_path).create("ops", "read")
    for name in ("tokens.json", "tokens.lock"):
        about = (tmp_path / name).stat()
        assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (12_345, 12_346, 0o600)


def test_a_token_that_is_none_any_more_says_why_and_what_to_do(guarded: HttpTalk) -> None:
    file = TokenFile(guarded.data)
    _, expired = file.create("was-good-once", "read", lifetime_ms=-1)
    _, revoked = file.create("was-revoked", "read")
    file.revoke("was-revoked")
    for secret, why in ((expired, "has expired"), (revoked, "was revoked"), ("hp_none", "no such token")):
        refused = problem(
            guarded.get("/session", headers={"Authorization": f"Bearer {secret}"}), 401, "unauthorized"
        )
        assert why in refused["detail"]
        assert "`hyperpage token create` makes another one" in refused["hint"]
    states = {
        one["name"]: one["state"]
        for one in hyperpage("token", "list", "--json", "--data", file.path.parent).json
    }
    assert (states["was-good-once"], states["was-revoked"]) == ("expired", "revoked")
    # The name is free again.
    assert file.create("was-good-once", "read")[0].is_good(0)
