"""`hyperpage audit`: the log has the command line's own acts, and a changed line is found."""

import json
import shutil
from contextlib import closing
from pathlib import Path

from ops.store.opening import open_store
from tests.support.services.command_line import hyperpage


def acts(data: Path, *wish: str) -> list[dict[str, object]]:
    items = hyperpage("audit", "list", *wish, "--limit", "1000", "--data", data, "--json").json["items"]
    return list(reversed(items))


def in_short(data: Path, *wish: str) -> list[tuple[object, object]]:
    return [(one["action"], one["outcome"]) for one in acts(data, *wish)]


def test_what_the_command_line_does_without_a_service_stands_in_the_log_from_its_begin_to_its_end(tmp_path):
    data = tmp_path / "data"
    for command in (
        ("migrate", "up"),
        ("backup", "create", "before"),
        ("token", "create", "dashboard"),
        ("token", "revoke", "dashboard"),
        ("projections", "rebuild"),
        ("cluster", "reseed", "--yes"),
        ("backup", "signing-key", "--new"),
        ("backup", "new-key", tmp_path / "key.txt"),
        ("backup", "drill"),
        ("backup", "restore", "--latest", "--yes"),
    ):
        done = hyperpage(*command, "--data", data)
        assert done.code == 0, (command, done.err)
    names = (
        "migrate.up",
        "backup.create",
        "token.create",
        "token.revoke",
        "projections.rebuild",
        "cluster.reseed",
        "backup.signing_key",
        "backup.new_key",
        "backup.drill",
        "backup.restore",
    )
    assert in_short(data) == [(name, outcome) for name in names for outcome in ("begun", "done")]
    made = acts(data, "--action", "token.create")[-1]
    assert made["via"] == "command line"
    assert made["actor"]
    request = json.loads(str(made["request"]))
    assert (request["name"], request["role"]) == ("dashboard", "read")
    assert hyperpage("audit", "verify", "--data", data).code == 0


def test_the_secret_of_a_token_stands_nowhere_in_the_log(tmp_path):
    data = tmp_path / "data"
    secret = hyperpage("token", "create", "dashboard", "--data", data).out.strip()
    hyperpage("token", "create", secret, "--data", data)
    hyperpage("token", "revoke", secret, "--data", data)
    hyperpage("token", "create", "other", "--data", data, LOGNAME=secret)
    content = b"".join(one.read_bytes() for one in (data / "audit").iterdir())
    assert secret.startswith("hpt_")
    assert secret[4:].encode() not in content
    assert len(acts(data)) == 8


def test_what_failed_stands_there_with_the_reason(tmp_path):
    data = tmp_path / "data"
    hyperpage("token", "create", "dashboard", "--data", data)
    assert hyperpage("token", "create", "dashboard", "--data", data).code == 1
    assert in_short(data)[-2:] == [("token.create", "begun"), ("token.create", "failed")]


def test_a_changed_log_exits_with_6_and_names_the_line(tmp_path):
    data = tmp_path / "data"
    for name in ("one", "two", "three"):
        hyperpage("token", "create", name, "--data", data)
    found = hyperpage("audit", "verify", "--data", data, "--json").json
    assert (found["lines"], found["wrong"]) == (6, None)
    assert hyperpage("audit", "verify", "--head", found["head"], "--data", data).code == 0
    file = data / "audit" / "audit-000001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4]))
    assert hyperpage("audit", "verify", "--data", data).code == 0
    cut = hyperpage("audit", "verify", "--head", found["head"], "--data", data)
    assert cut.code == 6
    assert "there was a line 6" in cut.out
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    gone = hyperpage("audit", "verify", "--data", data)
    assert gone.code == 6
    assert gone.out.startswith("audit-000001.jsonl, line 3: ")


def test_a_log_that_was_cut_since_the_last_backup_is_found_by_what_the_backup_knows(tmp_path):
    data = tmp_path / "data"
    hyperpage("migrate", "up", "--data", data)
    hyperpage("token", "create", "dashboard", "--data", data)
    backup = hyperpage("backup", "create", "--data", data, "--json").json
    hyperpage("token", "create", "other", "--data", data)
    known = hyperpage("audit", "verify", "--data", data)
    assert (known.code, "as 1 backup had it" in known.out) == (0, True)
    file = data / "audit" / "audit-000001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)

    file.write_bytes(b"".join(lines[:3]))
    cut = hyperpage("audit", "verify", "--data", data)
    assert cut.code == 6
    assert f"there was a line 5 when {Path(backup['path']).name} was made" in cut.out
    assert "audit" in hyperpage("doctor", "--quick", "--data", data).out

    file.unlink()
    assert hyperpage("audit", "verify", "--data", data).code == 6
    hyperpage("token", "create", "anew", "--data", data)
    anew = hyperpage("audit", "verify", "--data", data)
    assert anew.code == 0
    assert f"there was an earlier log (line {backup['metadata']['audit_head']}" in anew.err


def test_a_backup_that_nobody_vouches_for_says_nothing_about_the_log(tmp_path):
    data = tmp_path / "data"
    hyperpage("migrate", "up", "--data", data)
    hyperpage("backup", "create", "--data", data)
    assert hyperpage("audit", "verify", "--data", data, "--json").json["compared_with"] == 1
    # From now on another key signs, so the backup is not trusted any more.
    hyperpage("backup", "signing-key", "--new", "--data", data)
    assert hyperpage("audit", "verify", "--data", data, "--json").json["compared_with"] == 0


def test_a_store_that_is_restored_elsewhere_has_a_log_of_its_own(tmp_path):
    data = tmp_path / "data"
    hyperpage("migrate", "up", "--data", data)
    hyperpage("backup", "create", "--data", data)
    shutil.copytree(data / "backups", tmp_path / "backups")
    there = {"data": tmp_path / "there", "backups": tmp_path / "backups"}
    shutil.copytree(data, there["data"], ignore=lambda *_: ["audit", "backups"])
    options = ("--data", there["data"])
    environment = {"HYPERPAGE_BACKUPS": str(there["backups"])}
    assert hyperpage("backup", "restore", "--yes", *options, **environment).code == 0
    found = hyperpage("audit", "verify", "--json", *options, **environment)
    assert (found.code, found.json["earlier"]) == (0, None)


def test_migrations_that_are_applied_when_a_store_is_opened_stand_in_the_log(tmp_path):
    hyperpage("migrate", "up", "--data", tmp_path)
    assert hyperpage("migrate", "down", "--data", tmp_path).code == 0
    with closing(open_store(tmp_path / "hyperpage.db", cache_kib=1_024)[0]):
        pass
    last = acts(tmp_path)[-1]
    assert (last["action"], last["outcome"], last["via"]) == ("migrate.up", "done", "service")
    assert json.loads(str(last["request"]))["applied"]


def test_a_head_that_is_none_is_a_wrong_command_line_and_a_log_that_is_not_there_is_not_found(tmp_path):
    assert hyperpage("audit", "verify", "--head", "nonsense", "--data", tmp_path).code == 2
    assert hyperpage("audit", "list", "--since", "yesterday", "--data", tmp_path).code == 2
    assert hyperpage("audit", "verify", "--data", tmp_path).code == 3
    assert hyperpage("audit", "verify", "--head", f"7:{'ab' * 32}", "--data", tmp_path).code == 6


def test_what_cannot_be_recorded_is_not_done_unless_it_takes_rights_away_or_makes_room(tmp_path):
    data = tmp_path / "data"
    hyperpage("token", "create", "dashboard", "--data", data)
    (data / "audit").rename(tmp_path / "away")
    (data / "audit").write_text("in the way")
    refused = hyperpage("token", "create", "other", "--data", data, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "not_recorded")
    revoked = hyperpage("token", "revoke", "dashboard", "--data", data)
    assert revoked.code == 0
    assert "does not stand in the audit log" in revoked.err
    tokens = hyperpage("token", "list", "--data", data, "--json").json
    assert [(one["name"], one["revoked_at"] is None) for one in tokens] == [("dashboard", False)]


def test_users_that_are_made_changed_and_revoked_stand_in_the_log(tmp_path):
    data = tmp_path / "data"
    key, another = tmp_path / "billing.nk", tmp_path / "another.nk"
    for command in (
        ("create", "billing", "--allow", "jobs.*", "--out", key),
        ("rotate", "billing", "--out", another),
        ("revoke", "billing"),
    ):
        done = hyperpage("user", *command, "--data", data)
        assert done.code == 0, (command, done.err)
    names = [f"user.{verb}" for verb in ("create", "rotate", "revoke")]
    assert in_short(data) == [(name, outcome) for name in names for outcome in ("begun", "done")]
    content = (data / "audit" / "audit-000001.jsonl").read_text()
    for seed in (key, another):
        assert seed.read_text() not in content


def test_the_doctor_says_which_line_was_changed(tmp_path):
    data = tmp_path / "data"
    hyperpage("migrate", "up", "--data", data)

    def finding() -> dict[str, str]:
        found = hyperpage("doctor", "--quick", "--data", data, "--json").json["findings"]
        (one,) = (one for one in found if one["check"] == "audit")
        return one

    assert finding()["level"] == "well"
    file = data / "audit" / "audit-000001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"migrate.up", b"migrate.no", 1))
    assert (finding()["level"], "audit-000001.jsonl, line 1:" in finding()["message"]) == ("wrong", True)
    assert hyperpage("doctor", "--quick", "--data", data).code == 6


def test_a_name_that_is_no_unicode_is_refused_and_recorded_as_any_other(tmp_path):
    data = tmp_path / "data"
    refused = hyperpage("token", "create", "\udcff", "--data", data)
    assert (refused.code, "is no name of a token" in refused.err) == (1, True)
    assert in_short(data) == [("token.create", "begun"), ("token.create", "failed")]
    assert hyperpage("audit", "verify", "--data", data).code == 0
