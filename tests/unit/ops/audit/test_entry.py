"""A line of the audit log: what is in it, and what its hash vouches for."""

import hashlib
import json

import pytest

from bus.serving.audit import Act, Actor
from ops.audit.entry import MAXIMUM_LINE_BYTES, Head, LineError, head_in, line_of, read_line
from tests.support.domain.credential_corpus import Pieces
from tests.support.domain.issued_credentials import SHAPED
from tests.support.services.acts import act


def test_a_line_has_everything_about_an_act_and_follows_the_one_before() -> None:
    before = Head(6, "ab" * 32)
    line, head = line_of(act(code="kept", outcome="refused"), before)
    said = json.loads(line)
    assert said.pop("hash") == head.hash
    assert said == {
        "sequence": 7,
        "at": 1_790_000_000_000,
        "actor": "alice",
        "principal": "alice",
        "via": "http",
        "address": "127.0.0.1",
        "action": "dlq.drop",
        "request": '{"all":true}',
        "outcome": "refused",
        "code": "kept",
        "previous": "ab" * 32,
    }


def test_a_dry_run_says_so_in_its_line_and_nothing_else_does() -> None:
    tried, _ = line_of(act(dry_run=True), Head())
    assert json.loads(tried)["dry_run"] is True
    assert read_line(tried[:-1]).entry.dry_run
    # Other lines are as before there were dry runs, so that an older version reads them.
    assert b"dry_run" not in line_of(act(), Head())[0]
    assert not read_line(line_of(act(), Head())[0][:-1]).entry.dry_run


def test_the_hash_is_that_of_the_line_without_its_last_member() -> None:
    line, head = line_of(act(), Head())
    without = line.decode().rpartition(',"hash":')[0] + "}"
    assert hashlib.sha256(without.encode()).hexdigest() == head.hash


def test_a_line_is_read_as_it_was_written() -> None:
    line, head = line_of(act(), Head())
    assert read_line(line[:-1]).head == head


@pytest.mark.parametrize(
    "change",
    [(b"alice", b"mallory"), (b'"sequence":1', b'"sequence":2'), (b"000000", b"000001"), (b"}\n", b"} \n")],
)
def test_a_line_that_was_changed_is_none(change: tuple[bytes, bytes]) -> None:
    line, _ = line_of(act(), Head())
    with pytest.raises(LineError):
        read_line(line.replace(*change, 1)[:-1])


@pytest.mark.parametrize("kind", sorted(SHAPED))
def test_no_credential_is_in_a_line_wherever_it_stands(kind: str) -> None:
    secret = SHAPED[kind](Pieces(7))
    actor = Actor(name=secret, via="command line", address=secret, principal=secret)
    one = Act(at=1, actor=actor, action=secret, request=secret, outcome="done", code=secret)
    line, _ = line_of(one, Head())
    assert json.dumps(secret)[1:-1].encode() not in line


def test_a_line_is_one_line_and_has_a_limit_whatever_is_said() -> None:
    nasty = '\n\r\u2028\0"\\\x1b' * 1_000
    one = Act(
        at=1,
        actor=Actor(name=nasty, via="nats", address=nasty, principal=nasty),
        action=nasty,
        request=nasty,
        outcome="failed",
        code=nasty,
    )
    line, _ = line_of(one, Head())
    assert line.count(b"\n") == 1
    assert len(line) <= MAXIMUM_LINE_BYTES
    assert read_line(line[:-1]).entry.actor.startswith("\n\r")


def test_a_head_is_read_with_and_without_its_number() -> None:
    head = Head(7, "ab" * 32)
    assert head_in(str(head)) == head
    assert head_in("AB" * 32) == Head(0, "ab" * 32)
    assert head_in("7") is None
