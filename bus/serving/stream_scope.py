"""`scope_of`: the part of a stream that a user may read."""

from collections.abc import Callable

import msgspec

from bus.contract.rights import ALL, Rights
from bus.contract.senders import ADMIN, UserSubjects
from hyperpage_client.contract.subjects import BusNames, unescape


class Scope(msgspec.Struct, frozen=True):
    """The part of a stream that a user may read.

    `subjects` are the subjects that it may read. If they are `None`, it may read everything (`is_whole`), or
    the subjects that `admits` accepts one by one.
    """

    subjects: tuple[str, ...] | None
    admits: Callable[[str], bool]
    is_whole: bool = False


def scope_of(stream: str, user: str, rights: Rights, names: BusNames) -> Scope | None:
    """A user's part of a stream; `None` if the user has none, or there is no such stream.

    Subjects are those of the stream itself; users' results have the subjects that `UserSubjects.sent` makes.
    """
    if stream == names.results:
        return _of(UserSubjects(names).sent(user, names.result_filter))
    if stream == names.events:
        if rights.may_follow(ALL):
            return _whole()
        tables = (*rights.follows, "system") if rights.follows else ()
        return _of(*map(names.events_of, tables)) if tables else None
    if stream == names.dead_letters:
        return _whole() if user == ADMIN else None
    for table, bucket in names.mirrors.items():
        if stream == names.stream_of_bucket(bucket) and rights.may_read(table):
            return _of_bucket(bucket, rights, names)
    return None


def covers(pattern: str, subject: str) -> bool:
    """Whether each subject that matches `subject`, which may have wildcards, matches `pattern`, too."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or given[place] == ">":
            return False
        if token not in ("*", given[place]):
            return False
    return len(given) == len(wanted)


def _whole() -> Scope:
    return Scope(None, lambda subject: True, is_whole=True)


def _of(*subjects: str) -> Scope:
    return Scope(subjects, lambda subject: any(covers(one, subject) for one in subjects))


def _of_bucket(bucket: str, rights: Rights, names: BusNames) -> Scope:
    if not rights.keys:
        return _whole()
    prefix = names.mirrored(bucket, "")

    def admits(subject: str) -> bool:
        token = subject.removeprefix(prefix)
        key = unescape(token) if subject.startswith(prefix) else None
        return key is not None and rights.has_key(key)

    # The broker cannot filter by the beginning of a key, so each key has to be named.
    return Scope(None, admits)
