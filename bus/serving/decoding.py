"""Messages as submissions to the writer: decoded and looked through for credentials, or refused."""

import logging
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from bus.contract import codec
from bus.contract.rights import UNKNOWN_PRINCIPAL, Principal
from bus.incident import internal
from bus.measures import Tally
from bus.serving.permissions import require_may_send
from bus.writing.submission import Request, Submission, count_refused, refused
from domain.credentials.first_look import may_hold_credential
from domain.credentials.scanning import Finding, kind_of_text
from domain.errors import Invalid, Refusal
from domain.messages import Metadata
from hyperpage_client.contract.headers import (
    ACTOR,
    CAUSATION_ID,
    COMMAND_ID,
    CORRELATION_ID,
    EXPECTED_VERSION,
    TRACEPARENT,
)
from hyperpage_client.contract.subjects import BATCH
from hyperpage_client.transport.connection import UNREADABLE

MAXIMUM_HEADER_CHARACTERS = 512
# The number of refusals of a batch that are explained in full. More take time, and room in the answer.
MOST_EXPLAINED = 5
# UUIDs, traces and ULIDs, as most of these headers hold. No credential is spelled like that.
_MACHINE_ID = re.compile(r"[0-9a-f-]+|[0-9A-HJKMNP-TV-Z]{26}")
# A UUID behind a word in an id, as in `rotate-token:<uuid>`, is not the token that the word speaks of.
_UUID_IN_ID = re.compile(r"(?<![^:/.])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![^:/.])")
# Headers whose texts are stored with a command, or published with its events.
LOOKED_AT = (COMMAND_ID, ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)
# The headers that say why a command was sent: the fields of `Metadata` except its last.
_CAUSES = dict.fromkeys((ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)).keys()

logger = logging.getLogger(__name__)


def count_turned_away(tally: Tally, submissions: list[Submission]) -> None:
    """Counts the submissions that the writer refused to take, since it was full or did not run."""
    for one in submissions:
        if one.outcome is not None and one.outcome.refusal is not None:
            count_refused(tally, [one], one.outcome.refusal.code)


def submission_of(
    name: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    context: Any,
    *,
    principal: Principal = UNKNOWN_PRINCIPAL,
    fallback_id: str | None = None,
    away: Collection[str] = (),
) -> Submission:
    """A message as a submission. The submission of a malformed message has its outcome already.

    `principal` is the sender. `away` are tables whose aggregates are no longer installed. `fallback_id` is
    the command id of a single command whose sender gave none.
    """
    try:
        if name == BATCH:
            return _batch(body, headers, context, principal, away)
        request = _request(name, body, headers, principal, fallback_id, away)
    except Refusal as refusal:
        return refused_submission(refusal, context)
    except Exception as error:
        return refused_submission(internal(logger, "a message could not be read", error), context)
    return Submission(requests=[request], size_bytes=len(body), context=context, sender=principal.name)


def refused_submission(refusal: Refusal, context: Any) -> Submission:
    """A submission that is refused before the writer sees it."""
    return Submission(requests=[refusal], size_bytes=0, context=context, outcome=refused(refusal))


def _request(
    name: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    principal: Principal,
    fallback_id: str | None,
    away: Collection[str],
) -> Request:
    decider, verb = codec.find_verb(name, away)
    command = codec.decode_command(verb, body, name=name)
    require_may_send(principal, name, verb, command)
    findings = codec.findings_in(body)
    command_id, expected_version = fallback_id, None
    if headers:
        require_readable(headers)
        command_id = _command_id(headers.get(COMMAND_ID)) or fallback_id
        expected_version = _version(headers.get(EXPECTED_VERSION))
        findings = findings_in_headers(headers) + findings
    return Request(
        name=name,
        decider=decider,
        verb=verb,
        command=command,
        command_id=command_id,
        expected_version=expected_version,
        owner=principal.owner,
        keys=principal.rights.keys,
        metadata=_metadata(headers, principal),
        findings=findings,
    )


def _batch(
    body: bytes,
    headers: Mapping[str, str] | None,
    context: Any,
    principal: Principal,
    away: Collection[str],
) -> Submission:
    batch = codec.decode_batch(body)
    if not batch.commands:
        raise Invalid("a batch has at least one command", path="$.commands")
    if headers:
        require_readable(headers)
    if headers and EXPECTED_VERSION in headers:
        raise Invalid("a batch has no one version to expect; its commands may", path=EXPECTED_VERSION)
    metadata = _metadata(headers, principal)
    of_all = findings_in_headers(headers) if headers else ()
    # Where the whole body holds no credential, no command in it does.
    is_looked_through = not may_hold_credential(body)
    requests: list[Request | Refusal] = []
    refused_so_far = 0
    for index, item in enumerate(batch.commands):
        try:
            explains = refused_so_far < MOST_EXPLAINED
            decider, verb = codec.find_verb(item.command, away, explains=explains)
            item_body = bytes(item.body)
            command = codec.decode_command(
                verb, item_body, name=item.command, is_unambiguous=True, explains=explains
            )
            require_may_send(principal, item.command, verb, command)
            requests.append(
                Request(
                    name=item.command,
                    decider=decider,
                    verb=verb,
                    command=command,
                    command_id=_command_id(item.id),
                    expected_version=item.expected_version,
                    owner=principal.owner,
                    keys=principal.rights.keys,
                    metadata=metadata,
                    findings=(
                        *of_all,
                        *_findings_in_id(item.id, f"$.commands[{index}].id"),
                        *(() if is_looked_through else codec.findings_in(item_body)),
                    ),
                )
            )
        except Refusal as refusal:
            refusal.details.setdefault("index", index)
            refused_so_far += 1
            requests.append(refusal)
    return Submission(
        requests=requests,
        size_bytes=len(body),
        context=context,
        sender=principal.name,
        batch=True,
        atomic=batch.atomic,
    )


def findings_in_headers(headers: Mapping[str, str]) -> tuple[Finding, ...]:
    """The texts in a command's headers that look like credentials; the path of each is the header's name."""
    findings: tuple[Finding, ...] = ()
    for name in LOOKED_AT:
        if (value := headers.get(name)) is not None:
            findings += _findings_in_id(value, name)
    return findings


def _findings_in_id(value: str | None, path: str) -> tuple[Finding, ...]:
    if value is None or _MACHINE_ID.fullmatch(value):
        return ()
    kind = kind_of_text(_UUID_IN_ID.sub("", value) if ":" in value else value)
    return () if kind is None else (Finding(path, kind),)


def require_readable(headers: Mapping[str, str]) -> None:
    """Returns if the headers of a message could be read.

    Raises:
        Invalid: they could not.
    """
    # Without its headers it would be another command: its expected version would be missing, for instance.
    if headers == UNREADABLE:
        raise Invalid("the headers of the message cannot be read", path="$")


def _command_id(value: str | None) -> str | None:
    if value is None:
        return None
    if not value or len(value) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        raise Invalid(
            f"a command id has 1 to {codec.MAXIMUM_COMMAND_ID_CHARACTERS} characters", path=COMMAND_ID
        )
    # A look-up in SQLite takes a text only up to its first NUL. And bytes that are not UTF-8 are read as
    # U+FFFD, so that two different ids would become the same.
    if "\0" in value or "\ufffd" in value:
        raise Invalid("a command id is UTF-8, without NUL and U+FFFD", path=COMMAND_ID)
    return value


def _version(value: str | None) -> int | None:
    if value is None:
        return None
    # `int()` alone would accept underscores, signs, spaces and the digits of every script.
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Invalid("an expected version is a whole number, 0 or more", path=EXPECTED_VERSION)
    return int(value)


def _metadata(headers: Mapping[str, str] | None, principal: Principal) -> str | None:
    if not headers or _CAUSES.isdisjoint(headers):
        return _of_principal_alone(principal.name)
    values = [headers.get(name) for name in _CAUSES]
    if not any(values):
        return _of_principal_alone(principal.name)
    for name, value in zip(_CAUSES, values, strict=True):
        if value is not None and len(value) > MAXIMUM_HEADER_CHARACTERS:
            raise Invalid(f"a header has at most {MAXIMUM_HEADER_CHARACTERS} characters", path=name)
    actor, correlation_id, causation_id, traceparent = values
    said = Metadata(
        actor=actor,
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=traceparent,
        principal=principal.name,
    )
    return codec.encode(said).decode()


# Most commands have no other metadata, and there are few principals.
@lru_cache(maxsize=1024)
def _of_principal_alone(name: str | None) -> str | None:
    return None if name is None else codec.encode(Metadata(principal=name)).decode()
