"""The meanings of the fields of commands and queries, and of the rules of refusals, in a line each.

A field is looked up as `<table>.<verb>.<field>`, `<table>.<field>`, `<field>` with its path, and at last
by its own name alone, in this order: most fields mean the same wherever they stand.
"""

from collections.abc import Mapping

from domain.catalogue import OTHERS

_ANY_TIME = "milliseconds since the epoch"
_OF_EVERY_TABLE = frozenset({"limit", "after", "position", "time", "prefix"})
_BY = "also counts each value of this column"

MEANINGS: Mapping[str, str] = {
    # Jobs
    "jobs.id": "the id of the job",
    "jobs.enqueue.id": "the id of the new job; if left out, the service makes a time-ordered one",
    "type": "the kind of work; workers can claim by it",
    "name": "a name for people",
    "priority": "1 low, 2 medium, 3 high, 4 critical; higher ones are claimed first",
    "queue": "the queue",
    **{
        f"{place}.{field}": f"only jobs of this {field}"
        for place in ("jobs.list", "jobs.browse", "jobs.count", "filter")
        for field in ("type", "queue", "tool")
    },
    "jobs.stats.queue": "only this queue; all queues if left out",
    "payload": "a JSON object that the worker gets with the job",
    "tool": "the tool that the job is for",
    "endpoint": "the address of that tool",
    "run_at": f"when the job becomes due, in {_ANY_TIME}; a time in the past means now",
    "max_attempts": "the maximum number of attempts",
    "timeout_ms": "the maximum duration of one attempt, in milliseconds",
    "tags": "words to find the job by; a repeated one counts once",
    "unique": "allows no second job with the same key",
    "unique.key": "the key; it applies to the whole store",
    "unique.scope": "the jobs that block a new one: unfinished, also completed, all, or waiting ones",
    "unique.window_ms": "only jobs enqueued less than this many milliseconds ago block a new one",
    "unique.on_conflict": "on a conflict: a refusal, the existing job, or the new content for that job",
    "depends_on": "the jobs that must complete before this one can begin",
    "on_dependency_failure": "what happens to the job if what it waits for does not complete",
    "hold": "holds the job until `jobs.release`",
    "budget": "the rate limit that the job draws on; it is claimed only while the limit has calls left",
    "budget.cost": "the maximum number of calls in one attempt",
    "retry": "the delays between attempts; if left out, 5 s · 2ⁿ⁻¹ after the n-th attempt, half by chance",
    "result_ttl_ms": "how long the job stays in the tables after it has completed, in milliseconds",
    "base_ms": "the first delay, in milliseconds",
    "factor": "each delay is the previous one multiplied by this",
    "cap_ms": "the longest delay, in milliseconds; if left out, an hour, or `base_ms` if that is longer",
    "jitter": "the random share of each delay; if left out, 0.5, or 0 with `delays_ms`",
    "delays_ms": "the delays themselves, in milliseconds, instead of growing ones; the last one repeats",
    "crashes_count": "whether the loss of a worker counts as an attempt and is followed by such a delay",
    "concurrency": "limits how many jobs with the same key run at once, this one included",
    "concurrency.key": "jobs with the same key count together and take turns; if left out, the type",
    "concurrency.limit": "the maximum number of running jobs; if left out, the jobs only take turns",
    "debounce": "merges jobs in quick succession into one; the last one counts",
    "debounce.key": "the key of the jobs to merge, of any type; it is their unique key",
    "debounce.wait_ms": "how long after the last of these jobs the merged one is due, in milliseconds",
    "debounce.max_wait_ms": "the longest delay since the first of them was enqueued, in milliseconds",
    "throttle": "limits how many jobs are enqueued in a window; beyond the limit no job is made",
    "throttle.key": "the key of the jobs to count, of any type; it is their unique key",
    "throttle.limit": "the maximum number of jobs in a window",
    "rate": "limits how many attempts with the same key begin in a window",
    "rate.key": "attempts with the same key count together; if left out, the type",
    "rate.limit": "the maximum number of attempts in a window",
    "window_ms": "the length of the window, in milliseconds",
    "job.concurrency.key": "jobs with the same key count together and take turns; if left out, the type",
    "job.rate.key": "attempts with the same key count together; if left out, the type",
    "job.unique": "no job is made while another one has the key; the schedule skips that time",
    "job.unique.key": "the key; it applies to the whole store; if left out, the schedule's id",
    "job.unique.scope": "the jobs that block a new one: unfinished, also completed, all, or waiting ones",
    "job.unique.window_ms": "only jobs enqueued less than this many milliseconds ago block a new one",
    "jobs.limit_queue.concurrency": "the maximum number of the queue's jobs that run at once",
    "jobs.limit_queue.rate": "limits how many of the queue's attempts begin in a window",
    "jobs.calls": "how many calls of the job's budget the attempt made; if left out, all of them",
    "worker": "the name of the worker, the same for all of its claims",
    "jobs.list.worker": "only jobs that this worker has",
    "jobs.count.worker": "only jobs that this worker has",
    "jobs.count.by": _BY,
    "types": "only jobs of these types",
    "jobs.claim.limit": "the maximum number of jobs",
    "jobs.claim.host": "the host that the worker runs on, shown in the list of workers",
    "jobs.claim.version": "the version of the worker's program, shown in the list of workers",
    "lease_ms": "how long the lease lasts without a heartbeat, in milliseconds",
    "jobs.heartbeat.lease_ms": "how long it lasts from now on, in milliseconds; as before if left out",
    "lease": "the token that came with the claim",
    "percent": "how much of the job is done, in percent",
    "note": "what the worker is doing now",
    "jobs.complete.result": "the result, any JSON; stored with the job",
    "error": "what went wrong, in words for people",
    "traceback": "the traceback, as the worker's language writes it",
    "retryable": "false if another attempt would not help",
    "retry_at": f"when to try again, in {_ANY_TIME}, instead of after the backoff",
    "reason": "the reason, in words for people; stored with the event",
    "filter": "selects the jobs; at least one field, and a job must match all of them",
    "status": "only jobs with this value in the column `status`",
    "state": "only jobs in this state",
    "tag": "only jobs with this tag",
    **{
        f"jobs.{verb}.text": "only jobs with this text in their id or name, whatever the case"
        for verb in ("list", "browse", "count")
    },
    "filter.older_than_ms": "only jobs enqueued at least this many milliseconds ago",
    "jobs.cancel_many.limit": "the maximum number of jobs",
    "jobs.retry_many.limit": "the maximum number of jobs",
    "dry_run": "answers which jobs match, and changes nothing",
    "concurrency_key": "only jobs with this concurrency key",
    "unique_key": "only jobs with this unique key",
    "schedule_id": "only jobs that this schedule made",
    "group_id": "only jobs of this group",
    "jobs.enqueue.group_id": "the group of the job: any key that its jobs share",
    "after_group": "a group that this job waits for",
    "after_group.id": "the group; its jobs may be enqueued later",
    "after_group.when": "the condition: all of its jobs completed, all ended, or one did not complete",
    "jobs.group.group_id": "the group",
    **{
        f"{moment}_{end}": f"only jobs {text} at this time or {side}, in {_ANY_TIME}"
        for moment, text in (("created", "enqueued"), ("run", "due"), ("completed", "ended"))
        for end, side in (("from", "later"), ("until", "earlier"))
    },
    "schedules.preview.count": "how many of the next times are answered",
    "jobs.await.timeout_ms": "how long to wait for the end of the job, in milliseconds",
    "jobs.stats.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.stats.until": f"the end of the window, in {_ANY_TIME}; now if left out",
    "jobs.stats.percentiles": "whether the answer includes `wait_ms` and `run_ms`",
    "jobs.throughput.queue": "only this queue; all queues if left out",
    "jobs.throughput.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.throughput.parts": "the number of parts that the window is divided into",
    "jobs.workers.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.workers.worker": "only this worker; all workers if left out",
    "jobs.running.worker": "only jobs that this worker has",
    # Queues and schedules
    "queues.name": "the queue",
    "queues.paused": "only queues that are paused, or only those that are not",
    "schedules.id": "the schedule",
    "job.payload": "a JSON object that the worker gets with the job; `{}` if left out",
    "job": "the job that is enqueued each time, as with `jobs.enqueue`",
    "every_ms": "the interval in milliseconds; either this or `cron`",
    "cron": "minute, hour, day, month, weekday, or `@daily` and the like; either this or `every_ms`",
    "time_zone": "the time zone of `cron`, such as `Europe/Berlin`",
    "on_missed": "after missed times: one job for all of them, or none",
    "schedules.paused": "only schedules that are paused, or only those that are not",
    # Rate limits
    "platform": "the platform that sets the limit",
    "resource": "the resource that is limited, if the platform has several limits",
    "identifier": "the account or host that the calls are counted for; needs a `resource`",
    "remaining": "how many calls are left in the window",
    "rate_limits.observe.limit": "how many calls a window allows",
    "used": "how many calls were made in the window",
    "rate_limits.release.used": "how many of the reserved calls were made",
    "reset_time": f"when the next window begins, in {_ANY_TIME}",
    "observed_at": f"when the counts were seen, in {_ANY_TIME}; now if left out",
    "data_fresh": "false if the counts came from a cache, say: nothing is stored, no reservation ends",
    "reservation": "the reservation that the calls were made under; it ends with the command",
    "rate_limits.reserve.reservation": "an id for the reservation; if left out, the service makes one",
    "rate_limits.release.reservation": "the reservation to end",
    "rate_limits.observe_response.status": "the HTTP status",
    "headers": "the headers of the response; a repeated header has an array of values",
    "rate_limited": "whether a limit refused the call, if the caller knows better than the status",
    "rate_limits.throttle.until": f"no calls before this time, in {_ANY_TIME}",
    "warning_percent": "the used share of the limit, in percent, from which the level is `warning`",
    "critical_percent": "the used share of the limit, in percent, from which the level is `critical`",
    "cost": "the number of calls",
    "rate_limits.reserve.ttl_ms": "how long the calls stay reserved, in milliseconds",
    "level": "only limits at this level",
    # Configurations and state
    "tool_name": "the tool",
    "enabled": "whether the tool is on",
    "tool_configs.list.enabled": "only tools that are on, or only those that are off",
    "tool_configs.count.enabled": "only tools that are on, or only those that are off",
    "config": "the configuration, as the tool defines it",
    "refresh_interval": "the time between two refreshes, in milliseconds; null leaves it to the tool",
    "notifications": "whether the tool notifies",
    "tool_configs.list.notifications": "only tools that notify, or only those that do not",
    "tool_configs.count.notifications": "only tools that notify, or only those that do not",
    "patch": "a JSON merge patch (RFC 7386)",
    "to_version": "the version whose content is restored",
    "tool_configs.diff.from_version": "the version to compare from",
    "tool_configs.diff.to_version": "the version to compare to",
    "schema": "a JSON Schema of 64 KiB at most",
    "key": "the key",
    "value": "any JSON, 64 KiB at most",
    "ttl_ms": "how long the key holds the value, in milliseconds; without end if left out",
    "expected_version": "the version that the key must be at; 0 if it must hold nothing",
    "items": "the keys with their values; each key at most once",
    "prefix": "only keys that begin with this",
    # Batches
    "commands": "the commands in their order, 1,000 at most",
    "commands.command": "the command, such as `jobs.enqueue`",
    "commands.id": "its command id, 128 characters at most",
    "commands.expected_version": "the version that its stream must be at; 0 if the stream must not exist",
    "commands.body": "its body",
    "atomic": "all of them or none",
    # Pages and moments
    "limit": "the maximum number of items",
    "after": "the `next` of the previous page",
    "position": "the row as of this position; either this or `time`",
    "time": f"the row as of this time, in {_ANY_TIME}",
    "events.read.after": "the position after which to start",
    "events.find.before": "the position before which to start: the `next` of the previous page",
    "events.find.type": "only events of this type, such as `job.completed.v1`",
    "events.chain.position": "the position of the event to start from; either this or `correlation_id`",
    "correlation_id": "only events with this correlation id",
    "events.chain.correlation_id": "the correlation id of the events; either this or `position`",
    "table": "only events of this table",
    "stream": "only events of this stream, such as `jobs/sync-1`",
}

RULES: Mapping[str, str] = {
    "already_finished": "the job has ended, and cannot be cancelled",
    "already_started": "the job has begun before, so its payload stays; cancel it, and enqueue another one",
    "awaited": "other jobs wait for this one or for its group; wait until they go on, or cancel them",
    "cancel_not_requested": "no cancellation of the job was requested; complete, fail or interrupt it",
    "schema_is_still_taken": "the registered schema would be refused today; `details` says why",
    "config_matches_schema": "the configuration does not match its schema; `details.errors` lists each place",
    "dependency_failed": "what the job waits for cannot come any more; `details` names the job or the group",
    "not_finished": "only a job that has ended can be archived; cancel it first",
    "not_held": "only a job that is held can be released",
    "not_retryable": "only a job that failed, was cancelled or timed out can be retried",
    "not_unique": "another job has the unique key; `details.existing` names it",
    "not_waiting": "the job does not wait any more: a worker has it, or it has ended",
    "stale_lease": "the lease is not the job's current one; stop, since another worker may have the job",
    "too_many_reservations": "no more reservations may be open; `details.retry_at` says when one ends",
    "unknown_dependency": "the job to depend on, with the id in `details.dependency`, does not exist",
}


def places_of(verb: str, path: str) -> tuple[str, ...]:
    """The keys in `MEANINGS` that may have the meaning of a field of a verb; the first one found counts."""
    table = verb.partition(".")[0]
    return f"{verb}.{path}", f"{table}.{path}", path, path.rpartition(".")[2]


def meaning_of(verb: str, path: str, said: str = "") -> str:
    """The meaning of a field of a command or query; `said` is the description in its struct.

    For an installed aggregate, that description counts alone, except for fields of queries that every table
    has.

    Raises:
        KeyError: a field of our own aggregates has no meaning here.
    """
    if verb.partition(".")[0] in OTHERS:
        shared = MEANINGS[path] if path in _OF_EVERY_TABLE else _BY if path == "by" else ""
        return said or shared
    for place in places_of(verb, path):
        if place in MEANINGS:
            return MEANINGS[place]
    raise KeyError(f"{verb}: {path}")
