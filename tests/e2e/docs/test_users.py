"""The guide to users of their own: its commands run word for word, and print what it says."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bus.serving.consumer_requests import IDLE_NS
from bus.serving.stream_access import MAXIMUM_CONSUMERS, SCARCE_FROM, SMALL_PART
from bus.writing.jobs.due import MAXIMUM_PASSED_OVER
from ops.security.users import MAXIMUM_USERS
from tests.support.documents.guides import blocks, guide
from tests.support.documents.typed_in import typed_in
from tests.support.machines.node import in_javascript
from tests.support.patience import wait_for
from tests.support.services.command_line import Served, environment

GUIDE = guide("users.md")
[JAVASCRIPT] = blocks("js", GUIDE)
[PYTHON] = blocks("python", GUIDE)


def printed(program: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """What a program of the guide prints, once it ends well.

    It may be refused while the nats-server is told of the user, as the guide says.
    """
    done: list[subprocess.CompletedProcess[str]] = []

    def is_done() -> bool:
        done.append(
            subprocess.run(
                program, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False
            )
        )
        return done[-1].returncode == 0

    wait_for(is_done)
    return done[-1].stdout.strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
def test_every_command_of_the_guide_prints_what_it_shows(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0") as served:
        for step, said, errors in typed_in(GUIDE, served):
            assert step.is_shown_by(said), (step, said, errors)


def test_the_client_in_javascript_prints_what_is_said(tmp_path: Path) -> None:
    program = in_javascript(tmp_path, JAVASCRIPT)
    with Served(tmp_path / "data", "--no-http") as served:
        made = served(
            "user",
            "create",
            "billing",
            "--allow",
            "jobs.*",
            "--keys",
            "billing/*",
            "--out",
            tmp_path / "billing.nk",
        )
        assert made.code == 0, made.err
        said = printed(program, tmp_path)
    [shown] = re.findall(r"It prints `([^`]*)`", GUIDE)
    assert said == shown


def test_the_client_in_python_sends_under_the_users_name(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--no-http") as served:
        billing = ("--allow", "jobs.*", "--keys", "billing/*", "--out", tmp_path / "billing.nk")
        assert served("user", "create", "billing", *billing).code == 0
        said = printed([sys.executable, "-c", PYTHON], tmp_path, environment())
        event = served.ask("tail", "--from", "1", "--limit", "1")

    assert said.startswith("jobs/billing/")
    assert (event["subject"], event["principal"]) == (said, "billing")


def test_what_a_user_is_given_is_kept_nowhere(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0") as served:
        made = served("user", "create", "billing", "--json", "--out", tmp_path / "billing.nk")
        seed, token = (tmp_path / "billing.nk").read_bytes(), made.json["token"].encode()
        changed = served("user", "rotate", "billing", "--json", "--out", tmp_path / "new.nk")
        given = [seed, token, (tmp_path / "new.nk").read_bytes(), changed.json["token"].encode()]
        shown = [served("user", "list", "--json").out.encode(), served.log.read_bytes()]
        kept = [file.read_bytes() for file in served.data.rglob("*") if file.is_file()]

    assert any(changed.json["public_keys"][-1].encode() in content for content in kept)
    assert [secret in content for content in (*shown, *kept) for secret in given].count(True) == 0


def test_the_numbers_of_the_guide_are_those_of_the_program() -> None:
    for shown in (
        f"At most {MAXIMUM_USERS} users",
        f"passes over {MAXIMUM_PASSED_OVER:,} due jobs",
        f"nobody has used for {IDLE_NS // (24 * 3600 * 10**9)} days goes",
        f"at most {MAXIMUM_CONSUMERS:,} of a stream",
        f"Once {SCARCE_FROM:.0%} of the places that a stream has are taken, {SMALL_PART:.0%} of them",
    ):
        assert shown in GUIDE, shown
