"""The reference: every command and query with its fields, events, refusals and results, as Markdown.

The page is made from the catalogue and from the structs that decode messages, so it says what the program
does. `make reference` writes it to docs/reference.md with an example of each, which was really sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from itertools import groupby
from textwrap import fill
from types import NoneType
from typing import Any, get_args

import msgspec

from domain.catalogue import DECIDERS, TIMELINE_FORKED, VERBS, TimelineForked
from domain.decider import MAXIMUM_BODY_BYTES, Verb
from domain.errors import Refusal, RuleViolated
from domain.messages import Event
from hyperpage_client.contract.commands import MAXIMUM_BATCH_BYTES, MAXIMUM_BATCH_COMMANDS
from hyperpage_client.contract.subjects import BATCH
from ops.contract.reference.answers import query_notes
from ops.contract.reference.fields import fields_of
from ops.contract.reference.meanings import RULES
from ops.contract.schema import all_structs, struct_schema

_WIDTH = 110
_INTRODUCTION = """\
# Reference

Every command and every query: what it does, its fields, its events, its refusals, and an example with its
answer. This page is made from the program (`make reference`), and a test sends each example.
The guides explain how things work together: [jobs](jobs.md), [rate limits](rate-limits.md),
[configurations and state](configuration-store.md), [subscribing](subscribing.md). `hyperpage schema NAME` has
the JSON Schema of each.

"""
_SHARED = """\
## What all have in common

A command is a request on `hyperpage.cmd.v1.<name>`, or a durable message on `hyperpage.dcmd.v1.<name>`; a
query is a request on `hyperpage.qry.v1.<name>`. Bodies are JSON objects. A query's body has at most 64 KiB,
a command's body at most 256 KiB unless its section says otherwise. Unlisted fields are refused; an optional
field may be sent with its default. Times are integer milliseconds since the epoch, UTC.

The answer to an accepted command has these members, in this order: `command_id`; the `stream`, `version` and
`position` of its last event (null if it led to none); the `timeline`; the types of its `events`; its
`result`. A command that changes nothing, such as one that sets the same value again, is accepted with empty
`events`.

### Keys

A key has 1 to 200 characters out of `A-Z a-z 0-9 . _ : @ / + = -`. It begins with a letter or a digit, does
not end with a dot, and has no two dots in a row.

### How new an answer is

The answer to a query, and a refusal after reading, such as that of a row that is not there, has the headers
`Hyperpage-Position` and `Hyperpage-Timeline`: the query read the log up to exactly this position. The answer
to a command has both in its body. A query that sends them back, as `Hyperpage-Min-Position: 1-41872`
(timeline and position), reads nothing older: it waits up to 2 s until the store has reached that position,
and is refused as `behind` after that. It does not wait for events that a restore has undone. A position
without a timeline counts on the store's current timeline.

Where several services follow one log, the answer of a follower also has `Hyperpage-Age-Ms`, if known: how
many milliseconds ago it last had the whole log. A query with `Hyperpage-Read: leader` is answered by the
leader alone, after the leader has confirmed that it still led when it read: the answer includes everything
that was answered to any client before the query was sent. Without a leader, the query is refused as
`unavailable`.

### Refusals

A refused command or query is answered with `{"error": {"code", "message", "hint", "details"}}`, and with the
headers `Nats-Service-Error` and `Nats-Service-Error-Code`. These tell it from an answer: the row of a job has
an `error` of its own, which is a text or null.

A refused command changed nothing. In addition to the refusals in its section, any command can be refused as
`invalid`, `too_large`, `secret_rejected`, `command_id_reused`, `busy`, `unavailable` or `internal`; as
`forbidden` if its [user](users.md) may not send it; and as `version_conflict` if it has an expected version.
A query can be refused likewise, except as `command_id_reused` and `version_conflict`, and as `behind`.

The message of `invalid` tells the first mistake. If the body does not fit its schema, `details.violations`
lists up to 20 of all mistakes, each with its `path` and `message`, with what is `allowed` where that can be
listed, and with `did_you_mean`: a similar name or value, or a time in milliseconds, if there is one. A body
over 64 KiB has no such list, and in a batch only the first five refusals have one. If there is no command or
query of that name, `details.did_you_mean` is a similar name, if there is one; and if the name is a query sent
as a command, or a command asked as a query, `details.kind` is `query` or `command`.
`details.index` is the place of a refused command in its batch, from 0 on.

| code | number | when |
|---|---|---|
"""

_ABOUT_RULES = """
For a refusal `refused`, `details.rule` is the rule that the command broke:

| rule | meaning |
|---|---|
"""
_ABOUT_EVENTS = """\
An event is a CloudEvent of the type `hyperpage.<event>`; these are the members of its `data`. A member with a
question mark is left out if it has its default. `hyperpage schema EVENT` has the JSON Schema.
"""
# The ending of the verbs with which `hyperpage import` adds rows.
_IMPORT = ".import"


class Example(msgspec.Struct, frozen=True):
    """A body that was sent, and its answer, both as JSON."""

    body: bytes
    answer: bytes


def reference(examples: Mapping[str, Example], job_states: str = "") -> str:
    """The whole page. Examples are optional. `job_states` is the section on the states of a job."""
    kinds = all_structs()
    parts = [_INTRODUCTION, *_contents(kinds), *_links_to_sections(bool(job_states)), "\n", _SHARED]
    parts += [_refusals(), job_states, "\n## Commands\n"]
    parts += [_command(name, struct, examples.get(name)) for name, struct in kinds["commands"].items()]
    parts.append("\n## Queries\n")
    parts += [_query(name, struct, examples.get(name)) for name, struct in kinds["queries"].items()]
    return "".join([*parts, *_events()])


def _contents(kinds: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| | commands | queries |\n|---|---|---|\n"
    found = {
        kind: {table: list(names) for table, names in groupby(sorted(kinds[kind], key=_table), key=_table)}
        for kind in ("commands", "queries")
    }
    for table in dict.fromkeys(map(_table, (*kinds["commands"], *kinds["queries"]))):
        cells = (_links(found[kind].get(table, ())) for kind in ("commands", "queries"))
        yield f"| {table} | {' | '.join(cells)} |\n"


def _links_to_sections(has_job_states: bool) -> Iterator[str]:
    yield "\n[What all have in common](#what-all-have-in-common)"
    if has_job_states:
        yield " · [The states of a job](#the-states-of-a-job)"
    yield " · [Events](#events)\n"


def _table(name: str) -> str:
    return name.partition(".")[0]


def _links(names: Iterable[str]) -> str:
    # GitHub removes the dot of a heading from its anchor.
    return ", ".join(f"[{name.partition('.')[2] or name}](#{name.replace('.', '')})" for name in names)


def _refusals() -> str:
    codes = "".join(
        f"| `{kind.code}` | {kind.number} | {cleandoc(kind.__doc__ or '').splitlines()[0]} |\n"
        for kind in Refusal.__subclasses__()
        # The client has a refusal for unknown codes, which the service does not have.
        if kind.__module__ == Refusal.__module__
    )
    rules = "".join(f"| `{rule}` | {meaning} |\n" for rule, meaning in RULES.items())
    return f"{codes}{_ABOUT_RULES}{rules}"


def _command(name: str, struct: Any, example: Example | None) -> str:
    facts = _batch_facts() if name == BATCH else _command_facts(VERBS[name][1])
    return _section(name, struct, fields_of(name, struct_schema(name, struct)), facts, example)


def _query(name: str, struct: Any, example: Example | None) -> str:
    notes = query_notes(name)
    facts = [f"Answer: {notes.answer}.", f"Refusals: {_codes(notes.refusals)}."]
    return _section(name, struct, fields_of(name, struct_schema(name, struct)), facts, example)


def _section(name: str, struct: Any, fields: str, facts: Iterable[str], example: Example | None) -> str:
    listed = "\n".join(
        fill(fact, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False)
        for fact in facts
    )
    parts = [f"\n### {name}\n", cleandoc(struct.__doc__ or "") + "\n", fields, listed + "\n"]
    if example is not None:
        parts.append(f"```json\n{_laid_out(example.body)}\n```\n\nis answered with\n")
        parts.append(f"```json\n{_laid_out(example.answer)}\n```\n")
    return "\n".join(filter(None, parts))


def _command_facts(verb: Verb) -> Iterator[str]:
    yield f"Events: {_codes(map(_type_name, verb.events))}."
    rules = f"`{RuleViolated.code}` by the rule {_codes(verb.rules)}" if verb.rules else ""
    codes = _codes(kind.code for kind in verb.refusals) if verb.refusals or not rules else ""
    yield f"Refusals: {', '.join(filter(None, (codes, rules)))}."
    if verb.result is not None:
        yield f"Result: {'; '.join(_result(verb.result))}."
    if verb.key is None:
        yield "It spans several streams, and has no expected version."
    if not verb.remembered:
        yield "It is not remembered under its command id, and decided anew each time."
    elif not verb.empty_is_remembered:
        yield "It is remembered under its command id only if it led to an event."
    if verb.maximum_bytes != MAXIMUM_BODY_BYTES:
        yield f"The body has at most {verb.maximum_bytes:,} bytes."


def _result(kind: Any) -> Iterator[str]:
    """The members of a result, each with its meaning."""
    kinds = [one for one in get_args(kind) if one is not NoneType] or [kind]
    for field in msgspec.structs.fields(kinds[0]):
        yield f"`{field.encode_name}`, {get_args(field.type)[1].description}"


def _batch_facts() -> Iterator[str]:
    yield "Answer: `outcomes`, in the order of the commands: the answer to each, or its `error`."
    yield f"A batch has at most {MAXIMUM_BATCH_COMMANDS:,} commands and {MAXIMUM_BATCH_BYTES // 1024} KiB."
    yield (
        "Refusals: with `atomic`, that of the first command that is refused; `details.index` says which one."
        " Otherwise one command's refusal is its own outcome, and its neighbours are not concerned."
    )


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _type_name(event: type[Event]) -> str:
    return next(name for decider in DECIDERS for name, each in decider.events.items() if each is event)


def _events() -> Iterator[str]:
    yield "\n## Events\n\n"
    yield f"{_ABOUT_EVENTS}\n| event | data | comes of |\n|---|---|---|\n"
    for decider in DECIDERS:
        for name, event in decider.events.items():
            yield f"| `{name}` | {_members(event)} | {', '.join(_sources(event))} |\n"
    why = "a restore; a leader of a cluster that takes over where more may have been answered"
    yield f"| `{TIMELINE_FORKED}` | {_members(TimelineForked)} | {why} |\n"


def _members(event: type[Event]) -> str:
    fields = msgspec.structs.fields(event)
    return ", ".join(f"`{one.encode_name}{'' if one.required else '?'}`" for one in fields)


def _sources(event: type[Event]) -> Iterator[str]:
    leading = [(name, verb) for name, (_, verb) in VERBS.items() if event in verb.events]
    yield from (f"`{name}`" for name, verb in leading if not verb.internal)
    internal = [name for name, verb in leading if verb.internal]
    own = [name for name in internal if not name.endswith(_IMPORT)]
    if own:
        yield f"the service of its own accord ({_codes(own)})"
    if len(own) < len(internal):
        yield "an import"


def _laid_out(document: bytes) -> str:
    return _json(msgspec.json.decode(document), "", 0)


def _json(value: Any, indent: str, used: int) -> str:
    """JSON on one line if it fits, else with a line for each member."""
    line = _one_line(value)
    if len(indent) + used + len(line) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + _json(each, deeper, 1) for each in value) + f"\n{indent}]"
    members = (
        f"{deeper}{_one_line(name)}: {_json(each, deeper, len(name) + 5)}" for name, each in value.items()
    )
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def _one_line(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
