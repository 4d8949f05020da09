"""The meanings of the fields of commands and queries, and of the rules of refusals, in a line each.

A field is looked up as `<table>.<verb>.<field>`, `<table>.<field>`, `<field>` with its path, and at last
by its own name alone, in this order: most fields mean the same wherever they stand.
"""

from collections.abc import Mapping

from domain.catalogue import OTHERS

_ANY_TIME = "milliseconds since the epoch"
_OF_EVERY_TABLE = frozenset({"limit", "after", "position", "time", "prefix"})
_BY = "count by this column, too"

MEANINGS: Mapping[str, str] = {
    # Jobs
    "jobs.id": "the job",
    "jobs.enqueue.id": "the id of the new job; without one, it gets a time-ordered one",
    "type": "what kind of work it is; workers may claim by it",
    "name": "what people call it",
    "priority": "1 low, 2 medium, 3 high, 4 critical; higher is sooner",
    "queue": "the queue",
    **{
        f"{place}.{field}": f"only jobs of this {field}"
        for place in ("jobs.list", "jobs.browse", "jobs.count", "filter")
        for field in ("type", "queue", "tool")
    },
    "jobs.stats.queue": "only this queue; all of them if it is left out",
    "payload": "an object that the worker gets with the job",
    "tool": "the tool that it is about",
    "endpoint": "where that tool is reached",
    "run_at": f"when the job is due, in {_ANY_TIME}; a time in the past is now",
    "max_attempts": "how often it is tried at most",
    "timeout_ms": "how long one attempt may take, in milliseconds",
    "tags": "words to find it by; each counts once",
    "unique": "no second job with this key",
    "unique.key": "the key, one for the whole store",
    "unique.scope": "which jobs stand in the way: unfinished, also completed, all, or waiting ones",
    "unique.window_ms": "only jobs that were enqueued less than so many milliseconds ago",
    "unique.on_conflict": "what happens instead: nothing, a refusal, or the other job is replaced",
    "depends_on": "the jobs that have to complete first",
    "on_dependency_failure": "what becomes of it if one of those does not complete",
    "hold": "wait for `jobs.release`",
    "budget": "the rate limit that it draws on; it is claimed only while that has calls left",
    "budget.cost": "how many calls an attempt makes at most",
    "retry": "when it is tried again; without it, 5 s · 2ⁿ⁻¹ after the n-th attempt, half of that by chance",
    "result_ttl_ms": "how long it stays in the tables once it has completed, in milliseconds",
    "base_ms": "the first delay, in milliseconds",
    "factor": "how many times as long each delay is as the one before",
    "cap_ms": "the longest delay, in milliseconds; where it is left out, `base_ms` if that is longer",
    "jitter": "the share of a delay that chance decides; 0.5 if it is left out, or 0 with `delays_ms`",
    "delays_ms": "the delays, in milliseconds, in place of those that grow; the last one repeats",
    "crashes_count": "whether the loss of a worker costs an attempt, and is followed by such a delay",
    "concurrency": "how many jobs with its key may run at once, with this one",
    "concurrency.key": "whose jobs are counted together, and take turns; without it, the type",
    "concurrency.limit": "how many of them may run; without it, the key is for turns alone",
    "debounce": "one job for all that come until nothing came for a while; the last one counts",
    "debounce.key": "which jobs those are, of whatever type; it is their unique key",
    "debounce.wait_ms": "for how long nothing has to come",
    "debounce.max_wait_ms": "for how long it is put off at most, from when it was enqueued first",
    "throttle": "no more than so many jobs within a window; there is no new one then",
    "throttle.key": "which jobs are counted, of whatever type; it is their unique key",
    "throttle.limit": "how many there may be",
    "rate": "how many attempts with its key may begin within a window",
    "rate.key": "whose attempts are counted together; without it, the type",
    "rate.limit": "how many of them may begin",
    "window_ms": "how long the window is, in milliseconds",
    "job.concurrency.key": "whose jobs are counted together, and take turns; without it, the type",
    "job.rate.key": "whose attempts are counted together; without it, the type",
    "job.unique": "no job is made while another one has the key; a time that is due then is skipped",
    "job.unique.key": "the key, one for the whole store; without it, the schedule's id",
    "job.unique.scope": "which jobs stand in the way: unfinished, also completed, all, or waiting ones",
    "job.unique.window_ms": "only jobs that were enqueued less than so many milliseconds ago",
    "jobs.limit_queue.concurrency": "how many of its jobs may run at once",
    "jobs.limit_queue.rate": "how many attempts may begin within a window",
    "jobs.calls": "how many calls of the job's budget were made; without it, all of them",
    "worker": "who works; the same for all claims of one worker",
    "jobs.list.worker": "only jobs that this worker has",
    "jobs.count.worker": "only jobs that this worker has",
    "jobs.count.by": _BY,
    "types": "only jobs of these types",
    "jobs.claim.limit": "how many jobs at most",
    "jobs.claim.host": "where the worker runs, for whoever looks at the workers",
    "jobs.claim.version": "that of its program, for whoever looks at the workers",
    "lease_ms": "how long the lease lasts without a heartbeat, in milliseconds",
    "jobs.heartbeat.lease_ms": "how long it lasts from now on, in milliseconds; without it, as before",
    "lease": "the token that came with the claim",
    "percent": "how much of it is done",
    "note": "what it is doing",
    "jobs.complete.result": "what came out, any JSON; kept with the job",
    "error": "what went wrong, for people",
    "traceback": "where that was, as the worker's language writes it",
    "retryable": "false: another attempt would not help",
    "retry_at": f"when to try again, in {_ANY_TIME}, instead of the backoff",
    "reason": "why, for people; kept with the event",
    "filter": "which jobs are meant; at least one field, and all must hold",
    "status": "only jobs whose column `status` says this",
    "state": "only jobs in this state",
    "tag": "only jobs with this tag",
    **{
        f"jobs.{verb}.text": "only jobs with this text in their id or name, in capitals or not"
        for verb in ("list", "browse", "count")
    },
    "filter.older_than_ms": "only jobs that were enqueued at least so many milliseconds ago",
    "jobs.cancel_many.limit": "how many jobs at most",
    "jobs.retry_many.limit": "how many jobs at most",
    "dry_run": "say which jobs are meant, and change nothing",
    "concurrency_key": "only jobs whose concurrency has this key",
    "unique_key": "only jobs with this unique key",
    "schedule_id": "only jobs that this schedule made",
    "group_id": "only jobs of this group",
    "jobs.enqueue.group_id": "the group that it belongs to: any key, shared by all of them",
    "after_group": "the group of which the jobs have to come to something first",
    "after_group.id": "the group; none of its jobs has to be there yet",
    "after_group.when": "what they have to come to: all completed, all ended, or one did not complete",
    "jobs.group.group_id": "the group",
    **{
        f"{moment}_{end}": f"{text} then or {side}, in {_ANY_TIME}"
        for moment, text in (("created", "enqueued"), ("run", "due"), ("completed", "ended"))
        for end, side in (("from", "later"), ("until", "earlier"))
    },
    "schedules.preview.count": "how many times",
    "jobs.await.timeout_ms": "how long to wait for its end, in milliseconds",
    "jobs.stats.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.stats.until": f"the end of the window, in {_ANY_TIME}; now if it is left out",
    "jobs.stats.percentiles": "whether `wait_ms` and `run_ms` are asked for",
    "jobs.throughput.queue": "only this queue; all of them if it is left out",
    "jobs.throughput.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.throughput.parts": "how many counts there are",
    "jobs.workers.window_ms": "how far back attempts are counted, in milliseconds",
    "jobs.workers.worker": "only this worker; all of them if it is left out",
    "jobs.running.worker": "only jobs that this worker has",
    # Queues and schedules
    "queues.name": "the queue",
    "queues.paused": "only those that are paused, or are not",
    "schedules.id": "the schedule",
    "job.payload": "an object that the worker gets with the job; `{}` if it is left out",
    "job": "what is enqueued each time, as with `jobs.enqueue`",
    "every_ms": "the interval in milliseconds; either this or `cron`",
    "cron": "minute, hour, day, month, weekday, or `@daily` and the like; either this or `every_ms`",
    "time_zone": "where `cron` is read, such as `Europe/Berlin`",
    "on_missed": "when times were missed: one job for all of them, or none",
    "schedules.paused": "only those that are paused, or are not",
    # Rate limits
    "platform": "whose limit it is",
    "resource": "what is limited, if the platform has several limits",
    "identifier": "the account or host that it is counted for; needs a `resource`",
    "remaining": "how many calls are left in the window",
    "rate_limits.observe.limit": "how many calls a window has",
    "used": "how many calls of the window were made",
    "rate_limits.release.used": "how many of the reserved calls were made",
    "reset_time": f"when the next window begins, in {_ANY_TIME}",
    "observed_at": f"when it was seen, in {_ANY_TIME}; now if it is left out",
    "data_fresh": "false: it came from a cache, say, and is not kept",
    "reservation": "the reservation that the calls were made under, which ends it",
    "rate_limits.reserve.reservation": "an id for it; one is made if it is left out",
    "rate_limits.release.reservation": "the reservation that is not needed any more",
    "rate_limits.observe_response.status": "the HTTP status",
    "headers": "the headers as they came; a name that came several times has an array of values",
    "rate_limited": "whether a limit was the reason, where the caller knows better than the status",
    "rate_limits.throttle.until": f"no calls before this time, in {_ANY_TIME}",
    "warning_percent": "the share of the limit from which the level is `warning`",
    "critical_percent": "the share of the limit from which the level is `critical`",
    "cost": "how many calls",
    "rate_limits.reserve.ttl_ms": "how long they are set aside, in milliseconds",
    "level": "only limits at this level",
    # Configurations and state
    "tool_name": "the tool",
    "enabled": "whether the tool is on",
    "tool_configs.list.enabled": "only tools that are on, or are off",
    "tool_configs.count.enabled": "only tools that are on, or are off",
    "config": "the configuration, in the tool's own words",
    "refresh_interval": "how often it is refreshed, in milliseconds; null leaves it to the tool",
    "notifications": "whether the tool notifies",
    "tool_configs.list.notifications": "only tools that notify, or do not",
    "tool_configs.count.notifications": "only tools that notify, or do not",
    "patch": "a JSON merge patch (RFC 7386)",
    "to_version": "the version whose content comes back",
    "tool_configs.diff.from_version": "the version before",
    "tool_configs.diff.to_version": "the version after",
    "schema": "a JSON Schema of 64 KiB at most",
    "key": "the key",
    "value": "any JSON, 64 KiB at most",
    "ttl_ms": "how long the key holds the value, in milliseconds; for ever if it is left out",
    "expected_version": "the version that the key is at; 0: it holds nothing",
    "items": "the keys with their values; each key once",
    "prefix": "only keys that begin with this",
    # Batches
    "commands": "the commands in their order, 1,000 at most",
    "commands.command": "the command, such as `jobs.enqueue`",
    "commands.id": "its command id, of at most 128 characters",
    "commands.expected_version": "the version that its stream must be at; 0: must not exist",
    "commands.body": "its body",
    "atomic": "all of them or none",
    # Pages and moments
    "limit": "how many at most",
    "after": "the `next` of the page before",
    "position": "the row as it was at this position; either this or `time`",
    "time": f"the row as it was at this time, in {_ANY_TIME}",
    "events.read.after": "the position behind which to begin",
    "events.find.before": "the position before which to begin: the `next` of the page before",
    "events.find.type": "only events of this type, such as `job.completed.v1`",
    "events.chain.position": "the event to begin with; either this or `correlation_id`",
    "correlation_id": "only events that say this of themselves",
    "events.chain.correlation_id": "what the events say of themselves; either this or `position`",
    "table": "only events of this table",
    "stream": "only events of this stream, such as `jobs/sync-1`",
}

RULES: Mapping[str, str] = {
    "already_finished": "the job has ended, and cannot be cancelled",
    "already_started": "the job has begun before, so its payload stays; cancel it, and enqueue another",
    "awaited": "other jobs wait for this one; retry it, or cancel those",
    "cancel_not_requested": "nobody asked to cancel the job; complete, fail or interrupt it",
    "schema_is_still_taken": "the schema that was registered would be refused today; `details` says why",
    "config_matches_schema": "the configuration is not as its schema says; `details.errors` has each place",
    "dependency_failed": "a job to depend on did not complete; `details.dependency` names it",
    "not_finished": "only a job that has ended is archived; cancel it first",
    "not_held": "only a job that is held is released",
    "not_retryable": "only a job that failed, was cancelled or timed out is retried",
    "not_unique": "another job has the unique key; `details.existing` names it",
    "not_waiting": "a worker has the job, or it has ended; this is for jobs that wait",
    "stale_lease": "the lease is not the job's present one (any more); stop, somebody else may have the job",
    "too_many_reservations": "as many are out as there may be; `details.retry_at` says when one ends",
    "unknown_dependency": "there is no job to depend on under the id in `details.dependency`",
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
