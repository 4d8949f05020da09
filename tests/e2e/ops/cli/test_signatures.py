"""The signer of a backup, as an operator sees it: beside a running service, over HTTP, on the console."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.log import chain
from ops.archive.reading import read_segment
from ops.archive.segment import Segment, list_segments
from ops.archive.writing import row_lines, write_segment
from ops.backup.metadata import Backup, metadata_path, read_metadata
from tests.support.http_clients import client
from tests.support.patience import wait_for
from tests.support.services.command_line import Result, Served, hyperpage
from tests.support.stores.signed import change_metadata, forge_segment, key_in, strip_backup

STRICT = {"HYPERPAGE_REQUIRE_SIGNED": "true"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped service, with a backup, and an archive that goes on behind it."""
    data = tmp_path_factory.mktemp("kept") / "data"
    with Served(data) as service:
        put(service, 1)
        service.ask("backup", "create")
        put(service, 2)
        archived(service, 2)
    return data


@pytest.fixture
def data(kept: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(kept, copy)
    return copy


def put(service: Served, value: int) -> None:
    service.ask("send", "app_state.set", json.dumps({"key": "k", "value": value}))


def archived(service: Served, position: int) -> None:
    wait_for(lambda: service.status["archive"]["position"] == position)


def backup_of(data: Path) -> Backup:
    (path,) = [one for one in (data / "backups").iterdir() if one.suffix == ".db"]
    return Backup(path, read_metadata(path))


def key_of(data: Path) -> str:
    return hyperpage("backup", "signing-key", "--data", data).out.strip()


def checks(data: Path, name: str, **variables: str) -> Iterator[Result]:
    for command in ("verify", "drill"):
        yield hyperpage("backup", command, name, "--data", data, "--json", **variables)
    yield hyperpage("backup", "verify", name, "--routine", "--data", data, "--json", **variables)


def test_commands_say_by_whom_it_is_signed(data: Path):
    backup, key = backup_of(data), key_of(data)
    assert key.startswith("ed25519:")
    assert (data / "signing-key.txt").stat().st_mode & 0o777 == 0o600
    verified = hyperpage("backup", "verify", backup.name, "--data", data)
    assert verified.out == f"{backup.name}: it is as it was (position 1), signed by {key}\n"
    assert f"signed by {key[:14]}" in hyperpage("backup", "list", "--data", data).out
    archive = hyperpage("backup", "verify-archive", "--data", data)
    assert archive.out.strip().endswith(f" signed by {key}")
    for result in checks(data, backup.name, **STRICT):
        found = result.json
        assert (found["signature"], found["signed_by"], found["trusted"]) == ("signed", key, True)
    (listed,) = hyperpage("backup", "list", "--data", data, "--json").json
    assert (listed["signature"], listed["signed_by"], listed["trusted"]) == ("signed", key, True)
    planned = hyperpage("backup", "restore", "--latest", "--dry-run", "--data", data, "--json", **STRICT)
    assert list(planned.json["signatures"]) == [f"signed by {key}"]


def test_what_is_forged_fails_wherever_it_is_met(data: Path, tmp_path: Path):
    backup = backup_of(data)
    change_metadata(backup, description="by hand")
    for result in checks(data, backup.name):
        assert (result.code, result.json["valid"], result.json["signature"]) == (6, False, "forged")
    (listed,) = hyperpage("backup", "list", "--data", data, "--json").json
    assert (listed["signature"], listed["signed_by"], listed["status"]) == ("forged", None, "damaged")
    assert "forged" in hyperpage("backup", "list", "--data", data).out
    named = hyperpage("backup", "restore", backup.name, "--yes", "--data", data)
    assert (named.code, "forged" in named.err) == (6, True)
    exported = hyperpage(
        "analytics", "export", "--backup", backup.name, "--out", tmp_path / "lake", "--data", data, "--json"
    )
    assert (exported.code, exported.json["refused"][0]["reason"]) == (6, "forged")
    # All that it had is in the archive, which is sound.
    latest = hyperpage("backup", "restore", "--latest", "--yes", "--data", data, "--json")
    assert (latest.code, latest.json["position"]) == (0, 2)
    assert "forged" in latest.json["passed_over"][str(backup.path)]


def test_what_nobody_signed_is_refused_where_that_is_required(data: Path, tmp_path: Path):
    backup = backup_of(data)
    strip_backup(backup)
    assert "unsigned" in hyperpage("backup", "verify", backup.name, "--data", data).out
    for result in checks(data, backup.name, **STRICT):
        assert (result.code, result.json["valid"], result.json["reason"]) == (6, False, "unsigned")
    for arguments in ((backup.name,), ()):
        refused = hyperpage("backup", "restore", *arguments, "--yes", "--data", data, **STRICT)
        assert (refused.code, "require_signed" in refused.err) == (6, True), refused
    lake = tmp_path / "lake"
    exported = hyperpage(
        *("analytics", "export", "--backup", backup.name, "--out", lake, "--data", data, "--json"), **STRICT
    )
    assert (exported.code, exported.json["refused"][0]["reason"]) == (6, "unsigned")
    assert len(list((data / "backups").glob("*.db"))) == 1
    assert hyperpage("backup", "restore", backup.name, "--yes", "--data", data).code == 0


def test_another_key_is_not_one_you_trust_until_you_name_it(data: Path, tmp_path: Path):
    backup, key = backup_of(data), key_of(data)
    (data / "signing-key.txt").unlink()
    missing = hyperpage("backup", "signing-key", "--data", data)
    assert missing.code == 3
    said = hyperpage("backup", "verify", backup.name, "--data", data)
    assert (said.code, f"signed by {key} (not a key you trust)" in said.out) == (0, True)
    refused = hyperpage("backup", "verify", backup.name, "--data", data, "--json", **STRICT)
    assert (refused.code, refused.json["reason"]) == (6, "untrusted")
    pinned = hyperpage("backup", "pin", backup.name, "--data", data)
    assert (pinned.code, "nothing here to sign" in pinned.err) == (6, True)
    named = hyperpage(
        "backup", "verify", backup.name, "--data", data, **STRICT, HYPERPAGE_TRUSTED_KEYS=f"{key}, {key}"
    )
    assert (named.code, named.out.strip().endswith(f"signed by {key}")) == (0, True)
    for wrong in ("ed25519:abc", key[:-1] + "!", (tmp_path / "x").name):
        typo = hyperpage("backup", "list", "--data", data, HYPERPAGE_TRUSTED_KEYS=wrong)
        assert (typo.code, "trusted_keys" in typo.err) == (2, True)


def test_the_archive_says_whose_it_is(data: Path, tmp_path: Path):
    *_, newest = list_segments(data / "archive")
    forge_segment(newest)
    report = hyperpage("backup", "verify-archive", "--data", data, "--json")
    assert (report.code, report.json["signatures"]["unsigned"]) == (0, 1)
    strictly = hyperpage("backup", "verify-archive", "--data", data, "--json", **STRICT)
    assert (strictly.code, strictly.json["valid"], list(strictly.json["damage"])) == (6, False, [newest.name])
    refused = hyperpage("backup", "restore", "--latest", "--yes", "--data", data, **STRICT)
    assert (refused.code, newest.name in refused.err) == (6, True)
    forge_segment(newest, key_in(tmp_path / "keys"))
    assert "(not a key you trust)" in hyperpage("backup", "verify-archive", "--data", data).out


def test_a_running_service_refuses_and_goes_on(data: Path):
    backup = backup_of(data)
    strip_backup(backup)
    (data / "hyperpage.toml").write_text("require_signed = true\nbackup_interval_minutes = 0\n")
    with Served(data, "--http", "127.0.0.1:0", "--http-open") as service:
        put(service, 3)
        refused = service("backup", "restore", backup.name, "--yes")
        assert (refused.code, "unsigned" in refused.err) == (6, True)
        url = service.runtime["http_url"]
        with client() as http:
            (listed,) = http.get(f"{url}/api/v1/backups").json()["items"]
            assert (listed["signature"], listed["status"]) == ("unsigned", "damaged")
            asked = http.post(f"{url}/api/v1/admin/backup/restore", json={"backup": backup.name})
            assert (asked.status_code, "unsigned" in asked.text) == (422, True)
            made = http.post(f"{url}/api/v1/backups", json={})
            assert (made.status_code, made.json()["signature"]) == (201, "signed")
            assert made.json()["signed_by"] == key_of(data)
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 3
        assert service.runtime["timeline"] == 1
        # A backup without the required signature does not degrade the service.
        wait_for(lambda: service.ask("status")["status"] == "healthy")
        # A forged backup does: another program writes into the folder.
        newest = data / "backups" / made.json()["name"]
        change_metadata(Backup(newest, read_metadata(newest)), pinned=True)
        wait_for(lambda: "is forged" in service("status").out)
        metadata_path(newest).unlink()
        newest.unlink()


def test_an_encrypted_store_that_must_be_signed_is_restored_while_it_runs(tmp_path: Path):
    data, file = tmp_path / "data", tmp_path / "key.txt"
    public = hyperpage("backup", "new-key", file).out.strip()
    data.mkdir()
    (data / "hyperpage.toml").write_text(f'require_signed = true\nencrypt_to = ["{public}"]\n')
    with Served(data) as service:
        put(service, 1)
        service.ask("backup", "create")
        for value in (2, 3):
            put(service, value)
        archived(service, 3)
        done = service.ask("backup", "restore", "--latest", "--yes", "--identity", str(file))
        assert (done["position"], done["timeline"]) == (3, 2)
        assert list(done["signatures"]) == [f"signed by {key_of(data)}"]
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 3


def test_a_new_key_signs_at_once_while_the_service_runs(data: Path):
    before = key_of(data)
    with Served(data) as service:
        made: dict[str, Any] = service.ask("backup", "signing-key", "--new")
        assert (made["previous"], made["public_key"] != before) == (before, True)
        put(service, 3)
        archived(service, 3)
        assert service.ask("backup", "create")["signed_by"] == made["public_key"]
        report = service.ask("backup", "verify-archive")
        assert report["signatures"][f"signed by {made['public_key']}"] == 1
        assert f"signed by {before} (not a key you trust)" in report["signatures"]
    listed = hyperpage("backup", "list", "--data", data, "--json").json
    assert [(one["signed_by"], one["trusted"]) for one in listed] == [
        (made["public_key"], True),
        (before, False),
    ]


def as_before_the_key(segment: Segment, *, forged: bool = False) -> None:
    """Writes a segment without a signature; `forged`: with another event in the place of its last one."""
    content = read_segment(segment)
    rows = content.rows
    if forged:
        previous = rows[-2].hash if len(rows) > 1 else bytes.fromhex(content.header.previous_hash)
        last = msgspec.structs.replace(rows[-1], data='{"value":"forged"}')
        last = msgspec.structs.replace(
            last, hash=chain.chain_hash(previous, *msgspec.structs.astuple(last)[:-1])
        )
        rows = [*rows[:-1], last]
    write_segment(segment.place, content.header, row_lines(rows), content.answers)


def test_an_archive_from_before_the_key_is_signed_where_it_is_what_the_store_has(data: Path):
    segments = list_segments(data / "archive")
    for one in segments:
        as_before_the_key(one)
    assert hyperpage("backup", "verify-archive", "--data", data, **STRICT).code == 6
    first, *_, last = [one for one in segments if one.first <= one.last] * 2
    forge_segment(first)

    done = hyperpage("backup", "sign-archive", "--data", data, "--json")
    assert (done.code, done.json["signed"], done.json["left"]) == (0, len(segments), {})
    assert "forged" not in str(read_segment(first).answers), "what is signed is what the store has"
    assert hyperpage("backup", "verify-archive", "--data", data, **STRICT).code == 0

    as_before_the_key(last, forged=True)
    some = hyperpage("backup", "sign-archive", "--data", data, "--json")
    assert (some.code, some.json["signed"], list(some.json["left"])) == (1, 0, [last.name])
    acts = hyperpage("audit", "list", "--action", "backup.sign_archive", "--data", data, "--json").json
    assert [one["outcome"] for one in acts["items"]] == ["done", "begun"] * 2
