"""docs/backups.md, typed in word for word, from the worst day on."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.settings import Settings
from tests.support.documents.guides import blocks, guide
from tests.support.http_clients import client
from tests.support.machines.bucket_server import CREDENTIALS, BucketServer
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import Result, Served, hyperpage

GUIDE = guide("backups.md")
HEADING = re.compile(r"#+ (.+)")


def sections() -> dict[str, str]:
    """The text under each heading, up to the next one; a `#` comment in a code block is no heading."""
    found: dict[str, str] = {}
    heading, is_code = "", False
    for line in GUIDE.splitlines(keepends=True):
        is_code ^= line.lstrip().startswith("```")
        match = None if is_code else HEADING.match(line)
        heading = heading if match is None else match[1]
        found[heading] = found.get(heading, "") + line
    return found


SECTIONS = sections()
NAME = re.compile(r"hyperpage-backup-2026\w+\.db(\.zst\.age)?")
TIME = "2026-11-24T08:15:00Z"


def commands(heading: str) -> list[str]:
    return re.findall(r"^ *\$ (.+)$", SECTIONS[heading], re.MULTILINE)


def settings_in(heading: str) -> str:
    (block,) = blocks("toml", SECTIONS[heading])
    return re.sub(r"^ +", "", block, flags=re.MULTILINE)


class Typed:
    """An operator with a data directory, who replaces the guide's names and places by real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.replaced = {"/mnt/other-disk": str(folder / "other-disk"), "backup-key.txt": str(folder / "key")}
        self.variables: dict[str, str] = {}
        self.name = ""

    def settings(self, heading: str) -> None:
        self.data.mkdir(exist_ok=True)
        text = self.spelled(settings_in(heading))
        assert set(tomllib.loads(text)) <= set(Settings.__struct_fields__)
        (self.data / "hyperpage.toml").write_text(text)

    def spelled(self, text: str) -> str:
        for guide_s, real in self.replaced.items():
            text = text.replace(guide_s, real)
        return NAME.sub(self.name, text)

    def type(self, command: str) -> Result:
        program, *arguments = shlex.split(self.spelled(command))
        assert program == "hyperpage"
        where = () if arguments[:2] == ["backup", "new-key"] else ("--data", self.data)
        result = hyperpage(*arguments, *where, **self.variables)
        assert result.code == 0, (command, result)
        return result

    def serving(self) -> Served:
        return Served(self.data, "--http", "127.0.0.1:0", HYPERPAGE_BACKUP_DRILL_HOURS="0", **self.variables)

    def backups(self) -> list[str]:
        return [one["name"] for one in self.listed()]

    def listed(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = hyperpage(
            "backup", "list", "--data", self.data, "--json", **self.variables
        ).json
        return listed


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    return Typed(tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    server = BucketServer(tmp_path_factory.mktemp("server") / "weed")
    yield server
    server.stop()


def set_value(service: Served, value: int) -> None:
    service.ask("send", "app_state.set", f'{{"key": "k", "value": {value}}}')


def archived(service: Served, position: int) -> None:
    wait_for(lambda: service.status["archive"]["position"] == position)


def test_the_worst_day(typed: Typed):
    typed.settings("The archive")
    with typed.serving() as service:
        set_value(service, 1)
        for command in commands("Make one"):
            typed.type(command)
        set_value(service, 2)
        archived(service, 2)
    shutil.rmtree(typed.data)

    typed.settings("The disk or the file is gone")
    *restoring, serve = commands("The disk or the file is gone")
    for command in restoring:
        typed.type(command)
    assert serve == "hyperpage serve"
    with typed.serving() as service:
        assert service.runtime["timeline"] == 2
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2


def test_a_moment_and_back_again(typed: Typed):
    with typed.serving() as service:
        set_value(service, 1)
        set_value(service, 2)
        at = service.ask("query", "events.read", '{"after": 0}')["items"][0]["time"]
        # A moment between the two, to the millisecond, as the log has it.
        typed.replaced[TIME] = datetime.fromisoformat(at).astimezone(UTC).isoformat()
        for command in commands("Go back to a moment"):
            typed.type(command)
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
        typed.name = typed.backups()[0]
        for command in commands("Take a restore back"):
            typed.type(command)
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert service.runtime["timeline"] == 3


def test_an_ordinary_day(typed: Typed):
    with typed.serving() as service:
        set_value(service, 1)
        for command in commands("Make one"):
            typed.type(command)
        typed.name = typed.backups()[0]
        for heading in ("Trust one", "Which ones are kept", "The archive"):
            for command in commands(heading):
                typed.type(command)
        typed.type("hyperpage backup create")
        path = service.data / "backups" / typed.name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert service("backup", "verify", typed.name).code == 6
        # A backup that is not sound may be deleted, though pruning keeps the newest proven one.
        for command in commands("What `verify` says"):
            typed.type(command)
        assert typed.name not in typed.backups()


def test_with_a_key(typed: Typed):
    (new_key,) = (one for one in commands("Keys") if "new-key" in one)
    public = typed.type(new_key).out.strip()
    typed.replaced["age1…"] = public
    typed.settings("Keys")
    with typed.serving() as service:
        set_value(service, 1)
        typed.type("hyperpage backup create")
        set_value(service, 2)
        archived(service, 2)
        typed.name = typed.backups()[0]
        assert typed.name.endswith(".db.zst.age")
        for command in commands("Keys"):
            if command != new_key:
                typed.type(command)
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2
        assert service.runtime["timeline"] == 2


def test_whose_it_is(typed: Typed, tmp_path: Path):
    show, *_, make_new = (one for one in commands("Whose it is") if "signing-key" in one)
    with typed.serving() as service:
        set_value(service, 1)
        typed.type("hyperpage backup create")
        set_value(service, 2)
        archived(service, 2)
        public = typed.type(show).out.strip()
        typed.name = typed.backups()[0]
    # Another machine has the backups, and the settings that name the public key.
    there = Typed(tmp_path / "there")
    there.folder.mkdir()
    there.replaced["ed25519:…"] = public
    there.name = typed.name
    there.settings("Whose it is")
    for kept in ("backups", "archive"):
        shutil.copytree(typed.data / kept, there.data / kept)
    for command in commands("Whose it is"):
        if "signing-key" not in command:
            said = there.type(command).out
            assert "signed by ed25519:" in said, command
            assert "(not a key you trust)" not in said, command
    there.type("hyperpage backup restore --latest --yes")
    with there.serving() as service:
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 2

    another = there.type(make_new).out.strip()
    assert another.startswith("ed25519:")
    assert another != public
    there.type("hyperpage backup create")
    assert {one["signed_by"] for one in there.listed()} >= {another, public}
    assert all(one["trusted"] for one in there.listed() if one["signed_by"] in (another, public))


def test_in_a_bucket(typed: Typed, server: BucketServer):
    typed.replaced |= {
        "s3://my-bucket/hyperpage": server.new_bucket(),
        "https://s3.example.org": server.endpoint,
    }
    typed.variables = CREDENTIALS
    typed.settings("Buckets")
    with typed.serving() as service:
        set_value(service, 1)
        for command in commands("Buckets"):
            typed.type(command)
        archived(service, 1)
    store = typed.data / "hyperpage.db"
    store.unlink()
    for command in commands("The disk or the file is gone")[:-1]:
        typed.type(command)
    assert store.exists()
    assert not list((typed.data / "backups").glob("hyperpage*"))


CREATE = "hyperpage token create afar --role admin"


def test_from_afar(typed: Typed):
    with typed.serving() as service, client() as http:
        set_value(service, 1)
        set_value(service, 2)
        service_url = service.runtime["http_url"]
        typed.replaced["http://127.0.0.1:8822"] = service_url
        answers = []
        create, *others = commands("From afar")
        assert create == f"TOKEN=$({CREATE})"
        typed.replaced["$TOKEN"] = typed.type(CREATE).out.strip()
        http.headers["Authorization"] = f"Bearer {typed.replaced['$TOKEN']}"
        for command in others:
            if typed.backups():
                typed.name = typed.backups()[0]
            if "/restored" in command:
                wait_for(lambda: has_ended(http, f"{service_url}/api/v1/admin/backup/restored"))
            answers.append(curl(http, typed.spelled(command)))
        assert answers[5].json()["plan"]["events_lost"] == 1
        assert answers[-1].json()["token"] == answers[-2].json()["token"]
        assert answers[-1].json()["result"]["position"] == 1


def has_ended(http: httpx.Client, url: str) -> bool:
    """Whether a restore has ended; until then the answer is `null`, or the request fails."""
    answer = http.post(url)
    return answer.is_success and answer.json() is not None


def curl(http: httpx.Client, command: str) -> httpx.Response:
    """The answer that `curl` would get, for the options that the guide uses."""
    program, *arguments = shlex.split(command)
    assert program == "curl"
    method, headers, content, url = "GET", {}, None, ""
    words = iter(arguments)
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "--oauth2-bearer":
            headers["Authorization"] = f"Bearer {next(words)}"
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            content = next(words)
        else:
            url = word
    answer = http.request(method, url, headers=headers, content=content)
    assert answer.is_success, (command, answer.text)
    return answer


def test_the_guide_leaves_no_command_untried():
    tried = (
        "The disk or the file is gone",
        "Go back to a moment",
        "Take a restore back",
        "Make one",
        "Trust one",
        "What `verify` says",
        "Which ones are kept",
        "The archive",
        "Keys",
        "Whose it is",
        "Buckets",
        "From afar",
    )
    everything = re.findall(r"^ *\$ (.+)$", GUIDE, re.MULTILINE)
    assert sorted(everything) == sorted(one for heading in tried for one in commands(heading))


def test_the_guide_has_every_setting_and_every_link_leads_somewhere():
    prefixes = ("backup", "archive", "s3_", "encrypt", "check_at", "restore_", "trusted_", "require_signed")
    for setting in Settings.__struct_fields__:
        if setting.startswith(prefixes):
            spelled = setting.upper().removeprefix("BACKUP_KEEP_")
            assert re.search(rf"`HYPERPAGE_(BACKUP_KEEP_)?{spelled}`|`_{spelled}`", SECTIONS["Settings"]), (
                setting
            )
    headings = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in SECTIONS}
    assert set(re.findall(r"\(#([^)]+)\)", GUIDE)) <= headings
    for file in re.findall(r"\(([\w-]+\.md)\)", GUIDE):
        assert (ROOT / "docs" / file).exists()
