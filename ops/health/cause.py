"""One reason why the service is not healthy: `Cause`, with its meaning for what is stored.

An *unhealthy* service does not do its work: commands are not answered, or events are not published. A
*degraded* service does, but an operator should look at it before it becomes unhealthy.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

HealthLevel = Literal["degraded", "unhealthy"]

_ANSWERED = "what was answered is stored, and stays"
_ALL_STORED = "all is stored as ever"

# The meaning of each cause for what is stored, by the cause's name; each cause has one.
MEANINGS: Mapping[str, str] = {
    "nats_server_down": f"{_ANSWERED}; nobody gets through over NATS until it is back",
    "nats_disconnected": f"{_ANSWERED}; nobody gets through over NATS until there is one",
    "relay_stopped": f"{_ALL_STORED}; subscribers get no events until it goes on, and then miss none",
    "relay_behind": f"{_ALL_STORED}; subscribers get events late, and miss none",
    "stream_differs": (
        "the log of the store is whole; who reads the stream may miss an event, or get another one"
    ),
    "many_subjects": f"{_ALL_STORED}; a nats-server without memory ends, and is started again",
    "log_stream_full": f"{_ANSWERED}; what is refused later is not stored, and its sender knows",
    "commands_stream_full": (
        "what was taken in is carried out; what is refused is not stored, and its sender knows"
    ),
    "results_stream_full": "commands are carried out as ever, and their answers are remembered in the store",
    "dead_letters_full": f"{_ALL_STORED}; dead letters that are there stay",
    "consumers_full": f"{_ALL_STORED}; those that follow go on, and new ones are refused",
    "mirror_stopped": f"{_ALL_STORED}; who watches the bucket sees values from before",
    "writer_stopped": f"{_ANSWERED}; nothing more is stored until it is restarted",
    "store_not_writable": f"{_ANSWERED}; commands are refused, and nothing of them is stored",
    "writer_stalled": f"{_ANSWERED}; what waits may still be stored: the same command id tells",
    "commands_queue_up": f"{_ANSWERED}; what is refused as busy is not stored, and may be sent again",
    "upkeep_stopped": (
        f"{_ANSWERED}; jobs of workers that are gone wait, and schedules do not run, until it goes on"
    ),
    "jobs_unhandled": f"{_ALL_STORED}; these jobs wait until a worker asks for them",
    "clock_behind": (
        "the log is whole, and its times never go back; those of new events are later than the clock"
    ),
    "clock_jumped": f"{_ALL_STORED}; events get times of the clock as it was, until the jump is believed",
    "store_unreadable": "whether the file is whole is not known; backups and archive are apart from it",
    "store_damaged": "a part of the file is not as it was written; backups and archive are apart from it",
    "migrations_differ": "the log is as it was; rows may be in another shape than the one that is read",
    "queries_queue_up": f"{_ALL_STORED}; some queries are refused, and may be asked again",
    "readers_exhausted": f"{_ALL_STORED}; queries wait for each other",
    "queries_slow": f"{_ALL_STORED}; queries take their time",
    "wal_large": f"{_ALL_STORED}; it takes room, and makes the next start longer",
    "disk_full": f"{_ANSWERED}; without room, nothing more is stored, backed up or archived",
    "disk_low": f"{_ALL_STORED}, as long as there is room",
    "disk_filling": f"{_ALL_STORED} until then",
    "memory_high": (
        f"{_ALL_STORED}; the system may end the service, which then starts again with all that it answered"
    ),
    "backup_failed": "the store is as it was; without its disk, a restore begins with a backup from before",
    "backup_overdue": "the store is as it was; without its disk, a restore begins with an older backup",
    "backup_unproven": "the backups may all be sound: nobody has tried one lately",
    "archive_stopped": "the store is whole; of what has come since, there is no copy in the archive",
    "archive_behind": "the store is whole; of its last events, there is no copy in the archive yet",
    "archive_cut": "the store is whole, and the archive has all of its log again",
    "tokens_unknown": f"{_ALL_STORED}; users over NATS go on",
    "audit_stopped": f"{_ALL_STORED}; no act is done without a record, but those that make room",
    "no_leader": f"{_ANSWERED}; nothing more is stored until somebody leads",
    "backup_not_shared": f"{_ALL_STORED}; the log grows by what the backup would let go",
    "member_clock_differs": "the log is whole; times in it may be wrong by as much",
    "log_behind": "these events are in one file alone, and lost with it",
    "log_without_quorum": f"{_ANSWERED}; nothing more is stored until there are enough of them",
    "log_copies_away": f"{_ALL_STORED}, in fewer copies than were asked for",
    "following_stopped": (
        "the store of the leader is not concerned; this one answers with what it had until then"
    ),
    "follower_behind": "the store of the leader is not concerned; this one answers with what it has so far",
}


class Cause(msgspec.Struct, frozen=True):
    """One reason why the service is not healthy. `cause` is a name that stays; `hint` says what to do.

    `meaning` is its meaning for what is stored, from `MEANINGS`.
    """

    cause: str
    level: HealthLevel
    message: str
    hint: str
    meaning: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "meaning", MEANINGS[self.cause])

    @property
    def text(self) -> str:
        return f"{self.message}; {self.meaning}; {self.hint}"


def status_of(causes: list[Cause]) -> HealthLevel | str:
    """The worst level among causes; `healthy` if there are none."""
    levels = {one.level for one in causes}
    return "unhealthy" if "unhealthy" in levels else "degraded" if "degraded" in levels else "healthy"
