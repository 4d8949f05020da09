/** What is sent and answered, made of the service's own: `make client`. */

/**
 * No new job while another one has this key.
 *
 * Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
 */
export interface Unique {
  key: string;
  scope?: "incomplete" | "successful" | "all" | "waiting";
  window_ms?: number | null;
  on_conflict?: "return_existing" | "reject" | "replace" | "preserve_run_at";
}

/** The rate limit that a job draws on, and how many calls each attempt makes at most. */
export interface CallBudget {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  cost?: number;
}

/**
 * When a job is tried again: after delays that grow by a factor, or after listed delays.
 *
 * `jitter` is the share of a delay that is random: by default 0.5 of growing delays, and 0 of listed ones. A
 * lost worker costs no attempt, and the job is due again after 5 s; with `crashes_count`, it costs an
 * attempt like a failure.
 */
export interface RetryPolicy {
  base_ms?: number;
  factor?: number;
  cap_ms?: number;
  jitter?: number | null;
  delays_ms?: number[] | null;
  crashes_count?: boolean;
}

/** The group that a job waits for, and the outcome of the group's jobs that ends the wait. */
export interface AfterGroup {
  id: string;
  when?: "all_completed" | "all_ended" | "one_failed";
}

/** How many jobs with the key may run at once. Without a key, the job's type counts. */
export interface Concurrency {
  key?: string | null;
  limit?: number | null;
}

/** How many attempts with the key may begin within a window. Without a key, the job's type counts. */
export interface Rate {
  key?: string | null;
  limit: number;
  window_ms: number;
}

/**
 * One job for everything that is enqueued with this key, until nothing comes for `wait_ms` milliseconds.
 *
 * The job is put off for `max_wait_ms` at most, counted from when it was first enqueued.
 */
export interface Debounce {
  key: string;
  wait_ms: number;
  max_wait_ms?: number | null;
}

/** No more than `limit` jobs are enqueued with this key within any `window_ms` milliseconds. */
export interface Throttle {
  key: string;
  window_ms: number;
  limit?: number;
}

/** A choice of jobs: they match every field that is given, and at least one must be given. */
export interface JobFilter {
  status?: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  state?: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  type?: string | null;
  queue?: string | null;
  tool?: string | null;
  tag?: string | null;
  older_than_ms?: number | null;
  group_id?: string | null;
}

/** How many attempts may begin within a window. */
export interface AttemptRate {
  limit: number;
  window_ms: number;
}

/**
 * No job is made while another one has the key; without a key, that is the schedule's id.
 *
 * Only jobs in the scope are in the way and, with a window, only those that were enqueued within it.
 */
export interface ScheduledUnique {
  key?: string | null;
  scope?: "incomplete" | "successful" | "all" | "waiting";
  window_ms?: number | null;
}

/** The job to enqueue each time; the fields are those of `jobs.enqueue`. */
export interface ScheduledJob {
  type: string;
  name: string;
  priority?: number;
  queue?: string;
  payload?: unknown;
  tool?: string | null;
  endpoint?: string | null;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  budget?: CallBudget | null;
  retry?: RetryPolicy | null;
  concurrency?: Concurrency | null;
  rate?: Rate | null;
  result_ttl_ms?: number | null;
  unique?: ScheduledUnique | null;
}

/** One key with its value, which it holds for `ttl_ms` milliseconds, if given. */
export interface AppStateItem {
  key: string;
  value: unknown;
  ttl_ms?: number | null;
}

/** Jobs that match the filters; ranges of times include both ends. */
export interface JobsJobFilter {
  status?: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  state?: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  type?: string | null;
  queue?: string | null;
  tool?: string | null;
  worker?: string | null;
  tag?: string | null;
  text?: string | null;
  unique_key?: string | null;
  schedule_id?: string | null;
  created_from?: number | null;
  created_until?: number | null;
  run_from?: number | null;
  run_until?: number | null;
  completed_from?: number | null;
  completed_until?: number | null;
  group_id?: string | null;
  concurrency_key?: string | null;
}

/**
 * A new job, with a time-ordered id if none is given. Priorities: 1 low, 2 medium, 3 high, 4 critical.
 *
 * Without a `name`, the job is named after its type.
 *
 * Each attempt may take `timeout_ms` milliseconds (15 minutes by default). With `hold`, the job waits for
 * `release`; with `depends_on`, until those jobs have completed. At most one of `unique`, `debounce` and
 * `throttle` may be given; with them, there may be no new job, and the result then names the `existing` one.
 * `retry` says when the job is tried again.
 *
 * With a `budget`, the job is claimed only while its rate limit, as it was observed, has calls left; with a
 * `concurrency`, only while fewer jobs than its limit run with the same key; with a `rate`, only while fewer
 * attempts than its limit began with the same key within the window. Without a key, the job's type counts.
 *
 * The job belongs to the group `group_id`. With `after_group`, it waits until all jobs of another group have
 * completed or ended, or one has failed.
 *
 * With `result_ttl_ms`, the job leaves the tables that long after it has completed, as with `archive`.
 */
export interface JobsEnqueue {
  type: string;
  name?: string | null;
  id?: string | null;
  priority?: number;
  queue?: string;
  payload?: unknown;
  tool?: string | null;
  endpoint?: string | null;
  run_at?: number | null;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  unique?: Unique | null;
  depends_on?: string[];
  on_dependency_failure?: "cancel" | "wait" | "run";
  hold?: boolean;
  budget?: CallBudget | null;
  retry?: RetryPolicy | null;
  group_id?: string | null;
  after_group?: AfterGroup | null;
  concurrency?: Concurrency | null;
  rate?: Rate | null;
  debounce?: Debounce | null;
  throttle?: Throttle | null;
  result_ttl_ms?: number | null;
}

/**
 * Up to `limit` due jobs of a queue for a worker, each under a lease of `lease_ms` milliseconds.
 *
 * Jobs with a budget or with limits are handed out only as far as these allow. Where some have to wait for
 * calls, or for the end of a window, the result has `retry_after_ms`: it is of no use to ask for them
 * earlier. Where some wait for running jobs to end, the result says so (`waits_for_ends`).
 *
 * `host` is the machine that the worker runs on, and `version` the version of its program: both are shown
 * wherever workers are listed.
 */
export interface JobsClaim {
  worker: string;
  queue?: string;
  types?: string[] | null;
  limit?: number;
  lease_ms?: number;
  host?: string | null;
  version?: string | null;
}

/** The worker still works on the job: its lease is renewed from now on. */
export interface JobsHeartbeat {
  id: string;
  lease: string;
  lease_ms?: number | null;
}

/** How far a running job is: published at once to subscribers, and kept at most every 30 s. */
export interface JobsProgress {
  id: string;
  lease: string;
  percent?: number | null;
  note?: string | null;
}

/**
 * The job is done.
 *
 * For a job with a budget, `calls` is the number of calls that the attempt made; without it, all of the
 * budget's calls count as made.
 */
export interface JobsComplete {
  id: string;
  lease: string;
  result?: unknown;
  calls?: number | null;
}

/**
 * The attempt failed; the job is retried while attempts are left, unless `retryable` is false.
 *
 * `error` says in a line or so what happened, and `traceback` where, in the form of the worker's language.
 */
export interface JobsFail {
  id: string;
  lease: string;
  error: string;
  traceback?: string | null;
  retryable?: boolean;
  retry_at?: number | null;
  calls?: number | null;
}

/** The worker gives the job back until `run_at`; the attempt does not count. */
export interface JobsSnooze {
  id: string;
  lease: string;
  run_at: number;
  calls?: number | null;
}

/** The worker is shutting down and gives the job back; the attempt does not count. */
export interface JobsInterrupt {
  id: string;
  lease: string;
  calls?: number | null;
}

/** A waiting job is cancelled at once; the worker of a running one is asked to stop. */
export interface JobsCancel {
  id: string;
  reason?: string | null;
}

/** The worker agrees to a cancellation that was asked for. */
export interface JobsAckCancel {
  id: string;
  lease: string;
  calls?: number | null;
}

/** A failed, cancelled or timed out job is due again, with at least one attempt more. */
export interface JobsRetry {
  id: string;
}

/** A job that no worker has waits until it is released. */
export interface JobsHold {
  id: string;
}

/** A held job goes on: it is due at its `run_at`, or at once if that has passed. */
export interface JobsRelease {
  id: string;
}

/** A job that no worker has is due at another time. */
export interface JobsReschedule {
  id: string;
  run_at: number;
}

/** A job that no worker has gets another priority. */
export interface JobsReprioritize {
  id: string;
  priority: number;
}

/** A job that never began gets another payload. */
export interface JobsUpdatePayload {
  id: string;
  payload: unknown;
}

/** A finished job leaves the tables, with its attempts; its events stay, and its id is free again. */
export interface JobsArchive {
  id: string;
}

/**
 * Up to `limit` jobs are cancelled as by `cancel`, the oldest first; the result names them.
 *
 * The result also says how many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing
 * changes.
 */
export interface JobsCancelMany {
  filter: JobFilter;
  reason?: string | null;
  limit?: number;
  dry_run?: boolean;
}

/**
 * Up to `limit` unsuccessful jobs are retried as by `retry`, the oldest first; the result names them.
 *
 * Jobs that depend on a failed one cannot be retried, and are named as `skipped`. The result also says how
 * many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing changes.
 */
export interface JobsRetryMany {
  filter: JobFilter;
  limit?: number;
  dry_run?: boolean;
}

/** No job of the queue is handed out until it is resumed. */
export interface JobsPauseQueue {
  queue: string;
  reason?: string | null;
}

/** Jobs of the queue are handed out again. */
export interface JobsResumeQueue {
  queue: string;
}

/**
 * The limits of the queue from now on; a limit that is left out, or null, does not apply.
 *
 * At most `concurrency` of its jobs run at once, and at most `limit` attempts begin within `window_ms`
 * milliseconds, counted from now on if the window is another one than before.
 */
export interface JobsLimitQueue {
  queue: string;
  concurrency?: number | null;
  rate?: AttemptRate | null;
}

/**
 * A schedule as it is from now on: every `every_ms` milliseconds, or by a `cron` expression.
 *
 * A cron expression has five fields or is a name for them (`@daily`, `@hourly` …), and is read in the
 * `time_zone` (UTC by default).
 */
export interface SchedulesSet {
  id: string;
  job: ScheduledJob;
  every_ms?: number | null;
  cron?: string | null;
  time_zone?: string;
  on_missed?: "run_once" | "skip";
}

/** The schedule makes no more jobs, and is gone. Its jobs stay. */
export interface SchedulesDelete {
  id: string;
}

/** The schedule makes no jobs until it is resumed. */
export interface SchedulesPause {
  id: string;
}

/** The schedule makes jobs again, beginning with the next time; those that passed do not count. */
export interface SchedulesResume {
  id: string;
}

/** A job is made at once, paused or not; the result has the job's id. The schedule's times stay. */
export interface SchedulesTrigger {
  id: string;
}

/**
 * A platform's report on its limit. `reset_time` and `observed_at` are milliseconds since the epoch.
 *
 * Fields that are left out keep their known values within the same window. Observations come often and say
 * little new: one becomes an event only if it shows another window, a change of 5 % of the limit or of the
 * level, or comes at least a minute after the last one kept. With `data_fresh: false` (it came from a cache,
 * say) nothing is kept. `reservation` names the reservation that the calls were made under: it is spent
 * then.
 */
export interface RateLimitsObserve {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  remaining?: number | null;
  limit?: number | null;
  used?: number | null;
  reset_time?: number | null;
  observed_at?: number | null;
  data_fresh?: boolean;
  reservation?: string | null;
}

/**
 * A platform's answer to a call: its status, and its headers as they came, in upper or lower case.
 *
 * Headers that do not concern limits are not looked at, values that make no sense are ignored, and none is
 * stored. Without a `resource`, the one in the headers counts (GitHub's `core`, a bucket of Discord's). 429,
 * 503 with Retry-After, and GitHub's 403 count as a refusal because of a limit; `rate_limited` confirms or
 * denies that, where the body told the caller. After a refusal, no call is allowed until Retry-After has
 * passed; without that header, until the reset if nothing remains; otherwise for 60 s, twice as long with
 * each further refusal. The result is the answer of `may_call`, with the `resource`.
 */
export interface RateLimitsObserveResponse {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  status: number;
  headers: Record<string, string | string[]>;
  observed_at?: number | null;
  rate_limited?: boolean | null;
  reservation?: string | null;
}

/** No calls before `until` (milliseconds since the epoch). */
export interface RateLimitsThrottle {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  until: number;
  reason?: string | null;
}

/** The shares of the limit used, in percent, at which its level becomes warning, and critical. */
export interface RateLimitsSetThresholds {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  warning_percent?: number;
  critical_percent?: number;
}

/**
 * Calls set aside for one worker, so that several workers with one budget do not overshoot it.
 *
 * The calls count against what remains until they are released, or confirmed by an observation that names
 * the `reservation` (an id is made if none is given), or until `ttl_ms` have passed. `ttl_ms` must be longer
 * than the calls may take: later, it is unknown what was made of them. The result says whether they were
 * `granted`, and if not, when to try again (`retry_at`, null where waiting does not help). A reservation
 * that is not granted makes no event, and is not remembered for the command id. The same reservation again
 * gets the same answer. As long as no observation has said what remains, every reservation is granted:
 * otherwise no call would be made, and nothing learned.
 *
 * Granting and ending are events, since a grant must hold across a crash and count for the next command of
 * the same transaction. Expiry makes no event, since it follows from the time. A limit has at most 100 open
 * reservations.
 */
export interface RateLimitsReserve {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  cost?: number;
  ttl_ms?: number;
  reservation?: string | null;
}

/**
 * A reservation is not needed any more; `used` of its calls were made, and are taken from what remains.
 *
 * It is no error to release a reservation that is not open (any more), and changes nothing: releasing twice
 * is safe.
 */
export interface RateLimitsRelease {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  reservation: string;
  used?: number;
}

/** Forget what is known of this limit, its thresholds and reservations too. */
export interface RateLimitsClear {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
}

/** The whole configuration of a tool. */
export interface ToolConfigsSet {
  tool_name: string;
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number | null;
  notifications?: boolean;
  reason?: string | null;
}

/** Changes of `config` as a JSON merge patch (RFC 7386): `null` removes a member. */
export interface ToolConfigsPatch {
  tool_name: string;
  patch: Record<string, unknown>;
  reason?: string | null;
}

/** The tool is on from now on. */
export interface ToolConfigsEnable {
  tool_name: string;
  reason?: string | null;
}

/** The tool is off from now on. */
export interface ToolConfigsDisable {
  tool_name: string;
  reason?: string | null;
}

/** How often the tool is refreshed, in milliseconds; `null` leaves it to the tool. */
export interface ToolConfigsSetRefreshInterval {
  tool_name: string;
  refresh_interval: number | null;
  reason?: string | null;
}

/** Whether the tool notifies. */
export interface ToolConfigsSetNotifications {
  tool_name: string;
  notifications: boolean;
  reason?: string | null;
}

/** A new version with the content of an old one, also of a tool that was deleted since. */
export interface ToolConfigsRollback {
  tool_name: string;
  to_version: number;
  reason?: string | null;
}

/** The tool has no configuration from now on. */
export interface ToolConfigsDelete {
  tool_name: string;
  reason?: string | null;
}

/**
 * From now on, the tool's configuration must match this JSON Schema; if there is one, it already does.
 *
 * The schema is of draft 2020-12, unless `$schema` says 2019-09 or draft 7. It refers to nothing but its own
 * parts (`#/$defs/…`), and has no circle of references. Its work is bounded: regular expressions have no
 * lookaround and no backreferences, and `unevaluatedProperties` is not nested deeply.
 */
export interface ToolConfigsRegisterSchema {
  tool_name: string;
  schema: Record<string, unknown>;
  reason?: string | null;
}

/** The tool's configuration may be anything from now on. */
export interface ToolConfigsRemoveSchema {
  tool_name: string;
  reason?: string | null;
}

/**
 * Whether `set` would accept this `config` for the tool; nothing is stored.
 *
 * The result is `{"valid": …, "errors": [{"path", "message"}]}`, with the first errors if there are many.
 */
export interface ToolConfigsValidate {
  tool_name: string;
  config: Record<string, unknown>;
}

/** The key holds this value from now on, or for `ttl_ms` milliseconds. */
export interface AppStateSet {
  key: string;
  value: unknown;
  ttl_ms?: number | null;
}

/** As `set`, if the key is at `expected_version` (0: holds nothing). */
export interface AppStateSetIf {
  key: string;
  value: unknown;
  expected_version: number;
  ttl_ms?: number | null;
}

/** The key holds nothing from now on. */
export interface AppStateDelete {
  key: string;
}

/** All of these keys hold these values from now on, or none of them. */
export interface AppStateSetMany {
  items: AppStateItem[];
}

/** One job. */
export interface JobsGetQuery {
  id: string;
}

/** Jobs that match the filters, in the order of their ids. */
export interface JobsListQuery {
  status?: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  state?: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  type?: string | null;
  queue?: string | null;
  tool?: string | null;
  worker?: string | null;
  tag?: string | null;
  text?: string | null;
  unique_key?: string | null;
  schedule_id?: string | null;
  created_from?: number | null;
  created_until?: number | null;
  run_from?: number | null;
  run_until?: number | null;
  completed_from?: number | null;
  completed_until?: number | null;
  group_id?: string | null;
  concurrency_key?: string | null;
  limit?: number;
  after?: string | null;
}

/** How many jobs match the filters and, with `by`, how many of them have each value of that column. */
export interface JobsCountQuery {
  status?: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  state?: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  type?: string | null;
  queue?: string | null;
  tool?: string | null;
  worker?: string | null;
  tag?: string | null;
  text?: string | null;
  unique_key?: string | null;
  schedule_id?: string | null;
  created_from?: number | null;
  created_until?: number | null;
  run_from?: number | null;
  run_until?: number | null;
  completed_from?: number | null;
  completed_until?: number | null;
  group_id?: string | null;
  concurrency_key?: string | null;
  by?: "status" | "state" | "type" | "queue" | "tool" | "worker" | "group_id" | null;
}

/** The events of one stream, a page at a time. */
export interface JobsHistoryQuery {
  id: string;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface JobsAsOfQuery {
  id: string;
  position?: number | null;
  time?: number | null;
}

/** One queue. */
export interface QueuesGetQuery {
  name: string;
}

/** Queues that were paused or limited at least once, in the order of their names. */
export interface QueuesListQuery {
  paused?: boolean | null;
  limit?: number;
  after?: string | null;
}

/** Queues that were paused or limited at least once. */
export interface QueuesCountQuery {
  paused?: boolean | null;
}

/** The events of one stream, a page at a time. */
export interface QueuesHistoryQuery {
  name: string;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface QueuesAsOfQuery {
  name: string;
  position?: number | null;
  time?: number | null;
}

/** One schedule. */
export interface SchedulesGetQuery {
  id: string;
}

/** Schedules that match the filters, in the order of their ids. */
export interface SchedulesListQuery {
  paused?: boolean | null;
  limit?: number;
  after?: string | null;
}

/** Schedules that match the filters. */
export interface SchedulesCountQuery {
  paused?: boolean | null;
}

/** The events of one stream, a page at a time. */
export interface SchedulesHistoryQuery {
  id: string;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface SchedulesAsOfQuery {
  id: string;
  position?: number | null;
  time?: number | null;
}

/** One limit. */
export interface RateLimitsGetQuery {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
}

/** Limits that match the filters, in the order of their ids. */
export interface RateLimitsListQuery {
  platform?: string | null;
  resource?: string | null;
  identifier?: string | null;
  level?: "unknown" | "normal" | "warning" | "critical" | null;
  limit?: number;
  after?: string | null;
}

/** Limits that match the filters. */
export interface RateLimitsCountQuery {
  platform?: string | null;
  resource?: string | null;
  identifier?: string | null;
  level?: "unknown" | "normal" | "warning" | "critical" | null;
}

/** The events of one stream, a page at a time. */
export interface RateLimitsHistoryQuery {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface RateLimitsAsOfQuery {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  position?: number | null;
  time?: number | null;
}

/** The configuration of one tool. */
export interface ToolConfigsGetQuery {
  tool_name: string;
}

/** Configurations that match the filters, in the order of the tools' names. */
export interface ToolConfigsListQuery {
  enabled?: boolean | null;
  notifications?: boolean | null;
  limit?: number;
  after?: string | null;
}

/** Configurations that match the filters. */
export interface ToolConfigsCountQuery {
  enabled?: boolean | null;
  notifications?: boolean | null;
}

/** The events of one stream, a page at a time. */
export interface ToolConfigsHistoryQuery {
  tool_name: string;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface ToolConfigsAsOfQuery {
  tool_name: string;
  position?: number | null;
  time?: number | null;
}

/** The value of one key. */
export interface AppStateGetQuery {
  key: string;
}

/** Keys with their values, in order: all, or those that begin with `prefix`. */
export interface AppStateListQuery {
  prefix?: string | null;
  limit?: number;
  after?: string | null;
}

/** Keys that have a value: all, or those that begin with `prefix`. */
export interface AppStateCountQuery {
  prefix?: string | null;
}

/** The events of one stream, a page at a time. */
export interface AppStateHistoryQuery {
  key: string;
  after?: number;
  limit?: number;
}

/** One row as it was at a position or a time. */
export interface AppStateAsOfQuery {
  key: string;
  position?: number | null;
  time?: number | null;
}

/** Whether `cost` calls are allowed now, by what is known of the limit and by its reservations. */
export interface RateLimitsMayCallQuery {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
  cost?: number;
}

/**
 * When the budget runs out if calls go on at their present pace, and whether that is before the reset.
 *
 * Also how many due jobs wait for its calls, and until when.
 */
export interface RateLimitsForecastQuery {
  platform: string;
  resource?: string | null;
  identifier?: string | null;
}

/**
 * The changes of a tool's configuration between two versions; version 0 is before the first one.
 *
 * The changes are in the order of the paths. If one version is a deletion, everything in the other one
 * counts as added or removed.
 */
export interface ToolConfigsDiffQuery {
  tool_name: string;
  from_version: number;
  to_version: number;
}

/** Events after position `after`, of all tables, one table or one stream. */
export interface EventsReadQuery {
  after?: number;
  limit?: number;
  table?: string | null;
  stream?: string | null;
}

/** Events before a position, the newest first, that match every field that is given. */
export interface EventsFindQuery {
  before?: number | null;
  limit?: number;
  table?: string | null;
  stream?: string | null;
  type?: string | null;
  correlation_id?: string | null;
}

/**
 * The event at a position, its causes, its effects, and all events with the same correlation id.
 *
 * With a `correlation_id` in place of the position: all events that have it.
 */
export interface EventsChainQuery {
  position?: number | null;
  correlation_id?: string | null;
}

/**
 * Jobs that match the filters, the newest first: finished ones by their end, others by their creation.
 *
 * Large columns are left out or cut: there is no payload and no result, only the beginning of an error, and
 * only the end of a traceback of Python.
 */
export interface JobsBrowseQuery {
  state?: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout" | null;
  type?: string | null;
  queue?: string | null;
  tool?: string | null;
  tag?: string | null;
  text?: string | null;
  group_id?: string | null;
  limit?: number;
  after?: string | null;
}

/** The attempts of a job, the first one first; with `after`, the `next` of the page before. */
export interface JobsAttemptsQuery {
  id: string;
  limit?: number;
  after?: number | null;
}

/**
 * The progress of a group of jobs: how many are in each state, and how many of all have ended.
 *
 * Archived jobs do not count. A group without jobs is empty.
 */
export interface JobsGroupQuery {
  group_id: string;
}

/**
 * Figures of the queues: jobs by state, overdue jobs, and the attempts of the last `window_ms`.
 *
 * The window ends at `until`, in milliseconds since the epoch, or now. Without `percentiles`, which take
 * longest where many attempts ended, `wait_ms` and `run_ms` are null.
 */
export interface JobsStatsQuery {
  queue?: string | null;
  window_ms?: number;
  until?: number | null;
  percentiles?: boolean;
}

/** The attempts that ended in the last `window_ms` until now, in `parts` of the same length. */
export interface JobsThroughputQuery {
  queue?: string | null;
  window_ms?: number;
  parts?: number;
}

/** The workers: the jobs that each one has now, and its attempts that ended in the last `window_ms`. */
export interface JobsWorkersQuery {
  worker?: string | null;
  window_ms?: number;
}

/** The jobs that workers have now, and when their leases end; the attempt that began first comes first. */
export interface JobsRunningQuery {
  worker?: string | null;
  limit?: number;
  after?: string | null;
}

/**
 * A job as soon as it has ended, or as it is when `timeout_ms` are over.
 *
 * The client must wait for the answer for longer than `timeout_ms`.
 */
export interface JobsAwaitQuery {
  id: string;
  timeout_ms?: number;
}

/** The next times of a schedule with this interval or cron expression, if it was set now. */
export interface SchedulesPreviewQuery {
  every_ms?: number | null;
  cron?: string | null;
  time_zone?: string;
  count?: number;
}

/** An event, as subscribers get it: a CloudEvent 1.0 in JSON. */
export interface CloudEvent {
  specversion: "1.0";
  /** the timeline and the position: `1-41872` */
  id: string;
  /** `hyperpage/` and the id of the store */
  source: string;
  /** `hyperpage.` and the type of the event: `hyperpage.job.completed.v1` */
  type: string;
  /** the stream: `jobs/9f1c` */
  subject: string;
  /** when the event happened, as in RFC 3339, in UTC */
  time: string;
  datacontenttype: "application/json";
  /** the position in the log, as a string */
  sequence: string;
  /** the version of the stream after this event: 1, 2, 3 … */
  version: number;
  /** the timeline of the event; a restore begins a new one */
  timeline: number;
  /** the hash of this event and all before it, in hexadecimal digits */
  hash: string;
  /** the command that led to it */
  commandid?: string;
  /** on whose behalf the command was sent: any name, as the sender said */
  actor?: string;
  correlationid?: string;
  causationid?: string;
  /** W3C trace context */
  traceparent?: string;
  /** the user or token that sent the command */
  principal?: string;
  /** the members that the type of the event defines */
  data: unknown;
}

/** There is a job with the unique key already. */
export interface EnqueueResult {
  /** the job that has the unique key; there is no result if a new job was made */
  existing: string;
}

/** The progress of a job, as its worker last reported it. */
export interface JobProgress {
  /** how much of it is done */
  percent?: number;
  /** what it is doing */
  note?: string;
}

/** The limit that a job draws on, as it was accepted once; what it leaves out is not said. */
export interface JobBudget {
  platform: string;
  resource?: string;
  identifier?: string;
  /** how many calls an attempt makes at most; 1 where it is left out */
  cost?: number;
}

/** When a job is tried again, as it was accepted once; what it leaves out is as for any job. */
export interface JobRetry {
  /** the first delay, in milliseconds; 5,000 where it is left out */
  base_ms?: number;
  /** how many times as long the next one is; 2 where it is left out */
  factor?: number;
  /** the longest one, in milliseconds; an hour where it is left out */
  cap_ms?: number;
  /** the share that chance decides; where it is left out, 0.5, or 0 with `delays_ms` */
  jitter?: number;
  /** the delays themselves, in milliseconds; the last one repeats */
  delays_ms?: number[];
  /** whether a lost worker costs an attempt */
  crashes_count?: boolean;
}

/** The group that a job waits for, or has waited for until `met_at`. */
export interface AwaitedGroup {
  id: string;
  when: "all_completed" | "all_ended" | "one_failed";
  met_at?: number;
}

/** The concurrency of a job, as it was accepted once. */
export interface JobConcurrency {
  /** whose jobs are counted together, and take turns with others */
  key: string;
  /** how many of them may run at once, with this one */
  limit?: number;
}

/** The rate of a job, as it was accepted once. */
export interface JobRate {
  /** whose attempts are counted together */
  key: string;
  /** how many of them may begin within the window */
  limit: number;
  /** how long that is */
  window_ms: number;
}

/** A job, as lists show it. Times are milliseconds since the epoch. */
export interface JobRow {
  id: string;
  /** the kind of work */
  type: string;
  /** a name for people */
  name: string;
  /** 1 low, 2 medium, 3 high, 4 critical */
  priority: number;
  /** the state, in the words of the earlier system */
  status: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  /** the tool that the job is for */
  tool: string | null;
  /** the address of that tool */
  endpoint: string | null;
  /** a JSON object for the worker; any JSON if the job was imported */
  payload: unknown;
  /** the result, any JSON; null until the job has completed */
  result: unknown;
  /** when the job was enqueued */
  created_at: number;
  /** when the job last changed */
  updated_at: number;
  /** when its first attempt began */
  started_at: number | null;
  /** when the job ended, in whatever state */
  completed_at: number | null;
  /** the number of retries */
  retry_count: number;
  /** when this row was written; of an imported job, its earlier time until it first changes here */
  persisted_at: number;
  /** how often the job was taken from a lost worker */
  recovery_attempts: number;
  state: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  queue: string;
  /** when the job is or was due */
  run_at: number;
  /** the number of the attempt, 0 before the first one */
  attempt: number;
  /** the maximum number of attempts */
  max_attempts: number;
  /** the worker that has the job, or had it last */
  worker: string | null;
  /** why the last attempt failed */
  error: string | null;
  /** whether its worker is asked to stop */
  cancel_requested: boolean;
  progress: JobProgress | null;
  /** the position of its first event */
  created_position: number;
  /** the maximum duration of one attempt, in milliseconds */
  timeout_ms: number;
  /** when the current attempt times out */
  deadline_at: number | null;
  tags: string[];
  /** the key of its `unique`, `debounce` or `throttle` */
  unique_key: string | null;
  /** the jobs that must complete before this one can begin */
  depends_on: string[];
  /** the jobs among them that it still waits for */
  waiting_for: string[];
  /** what happens to the job if what it waits for does not complete */
  on_dependency_failure: "cancel" | "wait" | "run";
  /** the schedule that made it */
  schedule_id: string | null;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** the rate limit that the job draws on; left out if it has none */
  budget?: JobBudget;
  /** why the job was or is to be cancelled; left out if no reason was given */
  cancel_reason?: string;
  /** the delays between attempts; left out if they are the default */
  retry?: JobRetry;
  /** the group of the job; left out if it has none */
  group_id?: string;
  /** the group that the job waits for, until `met_at`; left out if it has none */
  after_group?: AwaitedGroup;
  /** how many jobs with the key may run at once, if it has a limit; left out if the job has none */
  concurrency?: JobConcurrency;
  /** how many attempts with the key may begin in a window; left out if the job has none */
  rate?: JobRate;
  /** how long the job stays after it has completed, in milliseconds; left out if it does not say */
  result_ttl_ms?: number;
}

/** A job as a worker gets it, under a lease. */
export interface LeasedJob {
  id: string;
  /** the kind of work */
  type: string;
  /** a name for people */
  name: string;
  /** 1 low, 2 medium, 3 high, 4 critical */
  priority: number;
  /** the state, in the words of the earlier system */
  status: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  /** the tool that the job is for */
  tool: string | null;
  /** the address of that tool */
  endpoint: string | null;
  /** a JSON object for the worker; any JSON if the job was imported */
  payload: unknown;
  /** the result, any JSON; null until the job has completed */
  result: unknown;
  /** when the job was enqueued */
  created_at: number;
  /** when the job last changed */
  updated_at: number;
  /** when its first attempt began */
  started_at: number | null;
  /** when the job ended, in whatever state */
  completed_at: number | null;
  /** the number of retries */
  retry_count: number;
  /** when this row was written; of an imported job, its earlier time until it first changes here */
  persisted_at: number;
  /** how often the job was taken from a lost worker */
  recovery_attempts: number;
  state: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  queue: string;
  /** when the job is or was due */
  run_at: number;
  /** the number of the attempt, 0 before the first one */
  attempt: number;
  /** the maximum number of attempts */
  max_attempts: number;
  /** the worker that has the job, or had it last */
  worker: string | null;
  /** why the last attempt failed */
  error: string | null;
  /** whether its worker is asked to stop */
  cancel_requested: boolean;
  progress: JobProgress | null;
  /** the position of its first event */
  created_position: number;
  /** the maximum duration of one attempt, in milliseconds */
  timeout_ms: number;
  /** when the current attempt times out */
  deadline_at: number | null;
  tags: string[];
  /** the key of its `unique`, `debounce` or `throttle` */
  unique_key: string | null;
  /** the jobs that must complete before this one can begin */
  depends_on: string[];
  /** the jobs among them that it still waits for */
  waiting_for: string[];
  /** what happens to the job if what it waits for does not complete */
  on_dependency_failure: "cancel" | "wait" | "run";
  /** the schedule that made it */
  schedule_id: string | null;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** the rate limit that the job draws on; left out if it has none */
  budget?: JobBudget;
  /** why the job was or is to be cancelled; left out if no reason was given */
  cancel_reason?: string;
  /** the delays between attempts; left out if they are the default */
  retry?: JobRetry;
  /** the group of the job; left out if it has none */
  group_id?: string;
  /** the group that the job waits for, until `met_at`; left out if it has none */
  after_group?: AwaitedGroup;
  /** how many jobs with the key may run at once, if it has a limit; left out if the job has none */
  concurrency?: JobConcurrency;
  /** how many attempts with the key may begin in a window; left out if the job has none */
  rate?: JobRate;
  /** how long the job stays after it has completed, in milliseconds; left out if it does not say */
  result_ttl_ms?: number;
  /** the token that every command about this attempt has to name */
  lease: string;
  /** when the lease ends if no heartbeat comes */
  lease_expires_at: number;
}

/** The jobs that the worker has now. */
export interface ClaimResult {
  /** the rows of the jobs, each with its lease */
  jobs: LeasedJob[];
  /** milliseconds until the next claim is worthwhile, if jobs wait for a rate limit or a window */
  retry_after_ms?: number;
  /** true if jobs wait for others of their key or queue to end; else left out */
  waits_for_ends?: boolean;
}

/** Whether the worker is to go on with the job. */
export interface ProgressResult {
  /** whether the worker is asked to stop */
  cancel_requested: boolean;
}

/** Whether the worker is to go on with the job, and when its lease runs out. */
export interface HeartbeatResult {
  /** whether the worker is asked to stop */
  cancel_requested: boolean;
  /** when the lease ends if no heartbeat comes */
  lease_expires_at: number;
}

/** The jobs that a filter matched: the changed ones, the skipped ones, and how many remain. */
export interface ManyResult {
  /** the jobs that were changed, or with `dry_run` would be */
  ids: string[];
  /** the matching jobs that could not be changed */
  skipped: string[];
  /** how many more jobs match, counted up to 10,000 */
  remaining: number;
}

/** The job that was made at once. */
export interface TriggerResult {
  /** the job that was made */
  id: string;
}

/** The result of a response: whether another call is allowed, and the resource that it was counted for. */
export interface ObserveResponseResult {
  /** the resource that the response was counted for */
  resource: string | null;
  /** whether another call is allowed now */
  allowed: boolean;
  /** when it will be allowed; null if it is, or if waiting does not help */
  retry_at: number | null;
  /** the calls left, without those reserved; null if unknown */
  remaining: number | null;
  /** `normal`, `warning`, `critical` or `unknown` */
  level: "unknown" | "normal" | "warning" | "critical";
  /** whether the last observation is more than five minutes old, or there is none */
  stale: boolean;
}

/** The result of a reservation: whether it was granted, else when to try again. */
export interface ReserveResult {
  /** whether the calls are reserved */
  granted: boolean;
  /** the id of the reservation, null if not granted */
  reservation: string | null;
  /** when the reservation expires, null if not granted */
  expires_at: number | null;
  /** when to try again; null if granted or if waiting does not help */
  retry_at: number | null;
  /** the calls left, without those reserved; null if unknown */
  remaining: number | null;
  /** `normal`, `warning`, `critical` or `unknown` */
  level: "unknown" | "normal" | "warning" | "critical";
  /** whether the last observation is more than five minutes old, or there is none */
  stale: boolean;
}

/** Where a configuration does not match. */
export interface Violation {
  path: string;
  message: string;
}

/** Whether `set` would accept a configuration. */
export interface ValidateResult {
  /** whether `set` would accept the configuration */
  valid: boolean;
  /** the `path` and `message` of each mismatch, 20 at most */
  errors: Violation[];
}

/** A job with all that is known of it, also what lists leave out. */
export interface WholeJobRow {
  id: string;
  /** the kind of work */
  type: string;
  /** a name for people */
  name: string;
  /** 1 low, 2 medium, 3 high, 4 critical */
  priority: number;
  /** the state, in the words of the earlier system */
  status: "pending" | "held" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  /** the tool that the job is for */
  tool: string | null;
  /** the address of that tool */
  endpoint: string | null;
  /** a JSON object for the worker; any JSON if the job was imported */
  payload: unknown;
  /** the result, any JSON; null until the job has completed */
  result: unknown;
  /** when the job was enqueued */
  created_at: number;
  /** when the job last changed */
  updated_at: number;
  /** when its first attempt began */
  started_at: number | null;
  /** when the job ended, in whatever state */
  completed_at: number | null;
  /** the number of retries */
  retry_count: number;
  /** when this row was written; of an imported job, its earlier time until it first changes here */
  persisted_at: number;
  /** how often the job was taken from a lost worker */
  recovery_attempts: number;
  state: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  queue: string;
  /** when the job is or was due */
  run_at: number;
  /** the number of the attempt, 0 before the first one */
  attempt: number;
  /** the maximum number of attempts */
  max_attempts: number;
  /** the worker that has the job, or had it last */
  worker: string | null;
  /** why the last attempt failed */
  error: string | null;
  /** whether its worker is asked to stop */
  cancel_requested: boolean;
  progress: JobProgress | null;
  /** the position of its first event */
  created_position: number;
  /** the maximum duration of one attempt, in milliseconds */
  timeout_ms: number;
  /** when the current attempt times out */
  deadline_at: number | null;
  tags: string[];
  /** the key of its `unique`, `debounce` or `throttle` */
  unique_key: string | null;
  /** the jobs that must complete before this one can begin */
  depends_on: string[];
  /** the jobs among them that it still waits for */
  waiting_for: string[];
  /** what happens to the job if what it waits for does not complete */
  on_dependency_failure: "cancel" | "wait" | "run";
  /** the schedule that made it */
  schedule_id: string | null;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** the rate limit that the job draws on; left out if it has none */
  budget?: JobBudget;
  /** why the job was or is to be cancelled; left out if no reason was given */
  cancel_reason?: string;
  /** the delays between attempts; left out if they are the default */
  retry?: JobRetry;
  /** the group of the job; left out if it has none */
  group_id?: string;
  /** the group that the job waits for, until `met_at`; left out if it has none */
  after_group?: AwaitedGroup;
  /** how many jobs with the key may run at once, if it has a limit; left out if the job has none */
  concurrency?: JobConcurrency;
  /** how many attempts with the key may begin in a window; left out if the job has none */
  rate?: JobRate;
  /** how long the job stays after it has completed, in milliseconds; left out if it does not say */
  result_ttl_ms?: number;
  /** the traceback of the last failed attempt, if its worker reported one */
  traceback: string | null;
}

/** How many rows have a value. */
export interface CountedValue {
  value: string | null;
  count: number;
}

/** How many there are. */
export interface Count {
  count: number;
}

/** How many rows there are, and how many have each value of the column that is asked for. */
export interface GroupedCount {
  count: number;
  /** the largest first, 1,000 at most; left out without `by` */
  groups?: CountedValue[];
  /** how many groups were left out; left out without `by` */
  groups_left_out?: number;
}

/** A part of a stream, in its order. */
export interface EventPage {
  items: CloudEvent[];
  /** the `after` of the next page, null on the last page */
  next: number | null;
}

/** The rate of a queue, as it was accepted once. */
export interface QueueRate {
  /** how many attempts may begin within the window */
  limit: number;
  /** how long that is */
  window_ms: number;
}

/** A queue that was paused or limited at least once. Times are milliseconds since the epoch. */
export interface QueueRow {
  name: string;
  /** whether the queue is paused: no job of it is handed out */
  paused: boolean;
  /** why the queue is paused */
  reason: string | null;
  paused_at: number | null;
  updated_at: number;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** how many of its jobs may run at once; left out if unlimited */
  concurrency?: number;
  /** how many attempts may begin in a window; left out if unlimited */
  rate?: QueueRate;
}

/** Which job of a key stands in the way of another one, as it was accepted once. */
export interface JobUnique {
  /** the key, one for the whole store */
  key: string;
  /** which jobs stand in the way */
  scope?: "incomplete" | "successful" | "all" | "waiting";
  /** only those that were enqueued less than so long ago */
  window_ms?: number;
}

/** What is enqueued each time, as it was accepted once: it is read whatever is allowed today. */
export interface JobTemplate {
  type: string;
  name: string;
  priority?: number;
  queue?: string;
  payload?: unknown;
  tool?: string;
  endpoint?: string;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  budget?: JobBudget;
  retry?: JobRetry;
  concurrency?: JobConcurrency;
  rate?: JobRate;
  result_ttl_ms?: number;
  unique?: JobUnique;
}

/** A schedule. Times are milliseconds since the epoch. */
export interface ScheduleRow {
  id: string;
  /** whether the schedule is paused: it makes no jobs */
  paused: boolean;
  /** the interval in milliseconds; either this or `cron` */
  every_ms: number | null;
  /** minute, hour, day, month, weekday; either this or `every_ms` */
  cron: string | null;
  /** the time zone of `cron` */
  time_zone: string;
  /** after missed times: one job for all of them, or none */
  on_missed: "run_once" | "skip";
  /** the job that is enqueued each time */
  job: JobTemplate;
  /** the time of its next job */
  next_run_at: number | null;
  /** the time of its last job */
  last_run_at: number | null;
  last_job_id: string | null;
  created_at: number;
  updated_at: number;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
}

/** One of the policies that bind a limit, as it was observed. */
export interface ObservedPolicy {
  policy: string;
  remaining: number | null;
  limit: number | null;
  used: number | null;
  reset_time: number | null;
  window_ms: number | null;
  observed_at: number;
}

/** A limit, as it was observed. Times are milliseconds since the epoch. */
export interface RateLimitRow {
  /** `ratelimit:` and the key */
  id: string;
  platform: string;
  /** how many calls are left in the window */
  limit_remaining: number | null;
  /** how many calls a window allows */
  limit_total: number | null;
  /** when the next window begins */
  reset_time: number | null;
  last_updated: number;
  created_at: number;
  resource: string | null;
  identifier: string | null;
  limit_used: number | null;
  /** when the newest observation was made */
  observed_at: number | null;
  throttled_until: number | null;
  throttle_reason: string | null;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** how much of the limit is used */
  level: "unknown" | "normal" | "warning" | "critical";
  /** the policy with the fewest calls left; the counts are its own */
  policy: string;
  /** all policies; null if none has a name: the columns have the only one */
  policies: ObservedPolicy[] | null;
  warning_percent: number;
  critical_percent: number;
  /** how many calls are set aside, by reservations and for running jobs */
  reserved: number;
}

/** The configuration of a tool. */
export interface ToolConfigRow {
  tool_name: string;
  enabled: boolean;
  config: Record<string, unknown>;
  /** the time between two refreshes, in milliseconds */
  refresh_interval: number | null;
  notifications: boolean;
  /** when the configuration last changed, in milliseconds since the epoch */
  updated_at: number;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** the JSON Schema that `config` has to match, if there is one */
  schema: Record<string, unknown> | null;
}

/** A key and its value. Times are milliseconds since the epoch. */
export interface AppStateRow {
  key: string;
  /** any JSON */
  value: unknown;
  updated_at: number;
  /** the version of its stream */
  version: number;
  /** the position of its last event */
  position: number;
  /** when the value expires */
  expires_at: number | null;
}

/** Whether calls are allowed now. */
export interface Availability {
  allowed: boolean;
  /** when they will be allowed; null if they are, or if waiting does not help */
  retry_at: number | null;
  /** the calls left, without those reserved; null if unknown */
  remaining: number | null;
  /** `normal`, `warning`, `critical` or `unknown` */
  level: "unknown" | "normal" | "warning" | "critical";
  /** whether the last observation is more than five minutes old, or there is none */
  stale: boolean;
}

/** When the first policy runs out of calls, by the observations kept of its present window. */
export interface Forecast {
  /** calls per minute, null before there are two observations */
  burn_rate: number | null;
  /** when the calls run out; null if nothing says that they will */
  runs_out_at: number | null;
  /** whether they run out before the next window; null if unknown */
  runs_out_before_reset: boolean | null;
  reset_time: number | null;
  /** the calls left, without those reserved; null if unknown */
  remaining: number | null;
  limit: number | null;
  policy: string;
  /** `normal`, `warning`, `critical` or `unknown` */
  level: "unknown" | "normal" | "warning" | "critical";
  /** whether the last observation is more than five minutes old, or there is none */
  stale: boolean;
  /** how many due jobs draw on the limit; left out if none does */
  jobs_waiting?: number;
  /** when the next of these jobs may run; null if that depends on later events; left out with them */
  jobs_from?: number;
}

/** A member that only one of the two versions has. */
export interface ConfigMember {
  path: string;
  value: unknown;
}

/** A member that both versions have, with different values. */
export interface ChangedConfigMember {
  path: string;
  from: unknown;
  to: unknown;
}

/** The differences between two versions, in the order of the paths. */
export interface ToolConfigDiff {
  added: ConfigMember[];
  removed: ConfigMember[];
  changed: ChangedConfigMember[];
}

/** A part of the log, in its order. */
export interface LogPage {
  items: CloudEvent[];
  /** the `after` of the next page, null at the head */
  next: number | null;
  /** the position of the head of the log */
  head: number;
  store_id: string;
  /** the timelines of the store, each with its first position */
  timelines: [number, number][];
}

/** A part of the log, the newest first. */
export interface FoundEvents {
  items: CloudEvent[];
  /** the `before` of the next page, null at the beginning of the log */
  next: number | null;
  /** the position of the head of the log */
  head: number;
}

/** An event, and the position of the event that caused it. */
export interface ChainLink {
  /** the position of its cause, if that is among the items */
  cause: number | null;
  event: CloudEvent;
}

/** Events that caused each other or have one correlation id, in the order of the log. */
export interface EventChain {
  items: ChainLink[];
  /** false if there are more than an answer can hold */
  complete: boolean;
}

/** A job without its large columns. Times are milliseconds since the epoch. */
export interface JobSummary {
  id: string;
  type: string;
  name: string;
  /** 1 low, 2 medium, 3 high, 4 critical */
  priority: number;
  state: "scheduled" | "pending" | "held" | "blocked" | "running" | "retrying" | "completed" | "failed" | "cancelled" | "timeout";
  queue: string;
  tool: string | null;
  /** the number of the attempt, 0 before the first one */
  attempt: number;
  max_attempts: number;
  run_at: number;
  created_at: number;
  started_at: number | null;
  completed_at: number | null;
  updated_at: number;
  worker: string | null;
  /** the beginning of the error, or the end of a Python traceback */
  error: string | null;
  cancel_requested: boolean;
  progress: JobProgress | null;
  tags: string[];
}

/** An attempt of a job. Times are milliseconds since the epoch. */
export interface JobAttemptRow {
  /** the position at which the attempt began; negative if it was imported */
  id: number;
  job_id: string;
  /** 1, 2, … */
  attempt: number;
  /** `running`, or how it ended: `completed`, `failed`, `timeout`, `cancelled`, `snoozed`, `interrupted`, `rescued`; of an imported one, as it was told */
  status: string;
  started_at: number | null;
  completed_at: number | null;
  duration_ms: number | null;
  error_message: string | null;
  queue: string;
  /** when the job was due; null if the attempt was imported */
  due_at: number | null;
  /** the traceback, if the worker reported one */
  traceback: string | null;
}

/** A part of the attempts of a job, in the order in which they began. */
export interface AttemptPage {
  items: JobAttemptRow[];
  /** the `after` of the next page, null on the last page */
  next: number | null;
}

/** The progress of a group of jobs. Times are milliseconds since the epoch. */
export interface GroupProgress {
  group_id: string;
  /** how many jobs the group has */
  total: number;
  /** how many of them have ended, in whatever state */
  done: number;
  /** the share of `done` in percent; null if the group has no jobs */
  percent: number | null;
  /** how many jobs are in each state; states without jobs are left out */
  states: Record<string, number>;
  /** when the first attempt of any job of the group began */
  began_at: number | null;
  /** when the latest of the ended jobs ended; null if none has */
  ended_at: number | null;
}

/** The figures of all queues together. */
export interface Totals {
  /** how many jobs are in each state */
  states: Record<string, number>;
  /** how many jobs are due and still wait */
  overdue: number;
  /** when the longest overdue job became due */
  oldest_due_at: number | null;
  /** the longest overdue job */
  oldest_due_id: string | null;
  /** how many attempts ended in the window, by outcome */
  attempts: Record<string, number>;
}

/** The milliseconds that 50, 95 and 99 per cent of the attempts did not exceed, and the maximum. */
export interface Percentiles {
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** The figures of one queue. */
export interface QueueStatistics {
  /** how many jobs are in each state */
  states: Record<string, number>;
  /** how many jobs are due and still wait */
  overdue: number;
  /** when the longest overdue job became due */
  oldest_due_at: number | null;
  /** the longest overdue job */
  oldest_due_id: string | null;
  /** how many attempts ended in the window, by outcome */
  attempts: Record<string, number>;
  /** from being due to being claimed */
  wait_ms: Percentiles | null;
  /** from being claimed to the end */
  run_ms: Percentiles | null;
}

/** The figures of the queues. Times are milliseconds since the epoch. */
export interface Statistics {
  since: number;
  until: number;
  /** the sum of all queues asked for, including those left out */
  total: Totals;
  /** by name, 1,000 at most */
  queues: Record<string, QueueStatistics>;
  /** how many queues were left out; each can be asked for by name */
  queues_left_out: number;
}

/** The attempts that ended in a window. Times are milliseconds since the epoch. */
export interface Throughput {
  since: number;
  until: number;
  /** the length of each part, in milliseconds */
  part_ms: number;
  /** the attempts that ended in each part, by outcome; the oldest part first */
  parts: Record<string, number>[];
}

/** A worker, its present jobs, and its ended attempts. Times are milliseconds since the epoch. */
export interface Worker {
  /** how many jobs the worker has */
  running: number;
  /** when the oldest current attempt began */
  attempt_started_at: number | null;
  /** when the first of its leases ends */
  lease_expires_at: number | null;
  /** how many attempts ended since `since`, by outcome */
  attempts: Record<string, number>;
  last_ended_at: number | null;
  /** the first claim since this service began to lead */
  first_claim_at: number | null;
  /** the latest claim */
  last_claim_at: number | null;
  /** the host, as the worker reports it */
  host: string | null;
  /** the version of its program, as the worker reports it */
  version: string | null;
  /** the types by queue; null if the worker takes all types */
  asks_for: Record<string, string[] | null>;
}

/** The workers. Times are milliseconds since the epoch. */
export interface Workers {
  /** the start of the window; later than asked for if there were too many attempts */
  since: number;
  until: number;
  /** by name, 500 at most: of more, those that have jobs are kept */
  workers: Record<string, Worker>;
}

/** A job that a worker has. Times are milliseconds since the epoch. */
export interface RunningJob {
  worker: string | null;
  id: string;
  name: string;
  type: string;
  queue: string;
  attempt: number;
  max_attempts: number;
  attempt_started_at: number | null;
  /** when the lease ends; null if there is none yet */
  lease_expires_at: number | null;
  /** when the attempt times out */
  deadline_at: number | null;
  cancel_requested: boolean;
  progress: JobProgress | null;
}

/** A job that was waited for. */
export interface AwaitedJob {
  /** false if the time ran out first */
  has_ended: boolean;
  job: WholeJobRow;
}

/** A time at which a schedule would run, in milliseconds since the epoch. */
export interface PlannedRun {
  run_at: number;
}

/** When a schedule would run. */
export interface SchedulePreview {
  /** the earliest one first */
  items: PlannedRun[];
}

export interface JobEnqueuedV1 {
  type: string;
  name: string;
  priority?: number;
  queue?: string;
  payload?: unknown;
  tool?: string;
  endpoint?: string;
  run_at: number;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  unique_key?: string;
  depends_on?: string[];
  waiting_for?: string[];
  on_dependency_failure?: string;
  held?: boolean;
  schedule_id?: string;
  budget?: JobBudget;
  retry?: JobRetry;
  group_id?: string;
  after_group?: AwaitedGroup;
  concurrency?: JobConcurrency;
  rate?: JobRate;
  result_ttl_ms?: number;
}

/** An attempt of a job as the system before this one kept it. */
export interface ImportedAttempt {
  attempt: number;
  status: string;
  started_at?: number;
  completed_at?: number;
  duration_ms?: number;
  error_message?: string;
}

/**
 * A job as the system before this one left it, with its times and attempts.
 *
 * `state` is the job's state here: a job that was running there is `retrying`.
 */
export interface JobImportedV1 {
  type: string;
  name: string;
  priority?: number;
  payload?: unknown;
  tool?: string;
  endpoint?: string;
  state: string;
  run_at: number;
  max_attempts?: number;
  attempt?: number;
  retry_count?: number;
  recovery_attempts?: number;
  created_at: number;
  updated_at: number;
  persisted_at: number;
  started_at?: number;
  completed_at?: number;
  result?: unknown;
  error?: string;
  history?: ImportedAttempt[];
}

/** What the begin of an attempt counts for: the rate of a key, or that of a queue. */
export interface CountedRate {
  key?: string;
  queue?: string;
  window_ms: number;
}

export interface JobClaimedV1 {
  worker: string;
  attempt: number;
  counted?: CountedRate[];
}

export interface JobProgressedV1 {
  percent?: number;
  note?: string;
}

export interface JobCompletedV1 {
  result?: unknown;
}

/** The attempt failed, and the job is due again at `next_run_at`. */
export interface JobAttemptFailedV1 {
  error: string;
  traceback?: string;
  next_run_at: number;
}

export interface JobFailedV1 {
  error: string;
  traceback?: string;
}

export interface JobSnoozedV1 {
  run_at: number;
}

export interface JobInterruptedV1 {
}

export interface JobCancelRequestedV1 {
  reason?: string;
}

export interface JobCancelledV1 {
  reason?: string;
}

export interface JobRetriedV1 {
  max_attempts: number;
  waiting_for?: string[];
}

/** The worker was lost, and the job is due again at `next_run_at`. */
export interface JobRescuedV1 {
  next_run_at: number;
  costs_attempt?: boolean;
}

/** The attempt took too long, and the job is due again at `next_run_at`. */
export interface JobAttemptTimedOutV1 {
  error: string;
  next_run_at: number;
}

/** The last attempt took too long. */
export interface JobTimedOutV1 {
  error: string;
}

export interface JobHeldV1 {
}

export interface JobReleasedV1 {
}

export interface JobRescheduledV1 {
  run_at: number;
}

/** A job that this one waited for has completed, or it has failed and this one runs all the same. */
export interface JobDependencyMetV1 {
  dependency: string;
}

/** The group that this job waited for met its condition, or it cannot and the job runs all the same. */
export interface JobGroupMetV1 {
  group: string;
}

/** Another job with the same unique key was enqueued: this job takes over that one's content. */
export interface JobReplacedV1 {
  type: string;
  name: string;
  priority?: number;
  queue?: string;
  payload?: unknown;
  tool?: string;
  endpoint?: string;
  run_at: number;
  max_attempts?: number;
  timeout_ms?: number;
  tags?: string[];
  budget?: JobBudget;
  retry?: JobRetry;
  concurrency?: JobConcurrency;
  rate?: JobRate;
  result_ttl_ms?: number;
}

export interface JobReprioritizedV1 {
  priority: number;
}

export interface JobPayloadUpdatedV1 {
  payload: unknown;
}

export interface JobArchivedV1 {
}

export interface QueuePausedV1 {
  reason?: string;
}

export interface QueueResumedV1 {
}

/** The limits that the queue has from now on. */
export interface QueueLimitedV1 {
  concurrency?: number;
  rate?: QueueRate;
}

export interface ScheduleSetV1 {
  job: JobTemplate;
  every_ms?: number;
  cron?: string;
  time_zone?: string;
  on_missed?: string;
  next_run_at?: number;
}

export interface ScheduleDeletedV1 {
}

export interface SchedulePausedV1 {
}

export interface ScheduleResumedV1 {
  next_run_at?: number;
}

/** A job was made at once, on request. */
export interface ScheduleTriggeredV1 {
  job_id: string;
}

/** A job was made for the time `due_at`. */
export interface ScheduleRanV1 {
  job_id: string;
  due_at: number;
  next_run_at?: number;
}

/** No job was made for the time `due_at`: it was missed, or the `existing` job stood in the way. */
export interface ScheduleSkippedV1 {
  due_at: number;
  next_run_at?: number;
  existing?: string;
}

/**
 * A platform's report on one policy; what it leaves out is not known from here.
 *
 * Several policies may bind one limit (per second and per hour, say); one without a name has the empty name.
 * `near_limit` is a platform's own warning, where it gives no counts.
 */
export interface Reading {
  policy?: string;
  remaining?: number;
  limit?: number;
  used?: number;
  reset_time?: number;
  window_ms?: number;
  near_limit?: boolean;
}

/**
 * The policies of a limit as they are known now; the counts are those of the policy that binds.
 *
 * `others` are the other policies, `reservation` is the reservation that this observation confirms.
 */
export interface RateLimitObservedV1 {
  remaining?: number;
  limit?: number;
  used?: number;
  reset_time?: number;
  observed_at: number;
  policy?: string;
  window_ms?: number;
  near_limit?: boolean;
  others?: Reading[];
  reservation?: string;
}

/** A limit as the system before knew it, at `last_updated`. */
export interface RateLimitImportedV1 {
  remaining?: number;
  limit?: number;
  reset_time?: number;
  last_updated: number;
  created_at: number;
}

/** The limit's level has changed since its last event. */
export interface RateLimitLevelChangedV1 {
  level: string;
  previous: string;
}

/**
 * No calls before `until`. `refusals` counts the refusals in a row that led to it; 0 if none did.
 *
 * `wide` says that the platform means all of its resources, not only the one that was called.
 */
export interface RateLimitThrottledV1 {
  until: number;
  reason?: string;
  refusals?: number;
  refused_at?: number;
  wide?: boolean;
}

/** The shares of the limit used, in percent, at which its level becomes warning, and critical. */
export interface RateLimitThresholdsSetV1 {
  warning_percent: number;
  critical_percent: number;
}

/** Calls are set aside until `expires_at`. */
export interface RateLimitReservedV1 {
  reservation: string;
  cost: number;
  expires_at: number;
}

/** A reservation ended; `used` of its calls were made. */
export interface RateLimitReleasedV1 {
  reservation: string;
  used?: number;
}

/** The calls that the attempt of a job may make. */
export interface JobCalls {
  job: string;
  cost?: number;
}

/** Jobs were claimed, and the calls of their attempts are set aside. */
export interface RateLimitCallsClaimedV1 {
  jobs: JobCalls[];
}

/** The attempt of a job has ended; `unused` of its calls were not made. */
export interface RateLimitCallsEndedV1 {
  job: string;
  unused?: number;
}

/** Nothing is known of the limit any more. */
export interface RateLimitClearedV1 {
}

/** A whole configuration; every event but the deletion carries it, so that any version is read at once. */
export interface Content {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigSetV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

/** The configuration as the system before had it, since `updated_at`. */
export interface ToolConfigImportedV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
  updated_at: number;
}

export interface ToolConfigPatchedV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigEnabledV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigDisabledV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigRefreshIntervalSetV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigNotificationsSetV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
}

export interface ToolConfigRolledBackV1 {
  enabled?: boolean;
  config?: Record<string, unknown>;
  refresh_interval?: number;
  notifications?: boolean;
  reason?: string;
  to_version: number;
}

export interface ToolConfigDeletedV1 {
  reason?: string;
}

export interface ToolConfigSchemaRegisteredV1 {
  schema: Record<string, unknown>;
  reason?: string;
}

export interface ToolConfigSchemaRemovedV1 {
  reason?: string;
}

export interface AppStateSetV1 {
  value: unknown;
  expires_at?: number;
}

/** The value that the key had in the system before, set there at `updated_at`, where that is known. */
export interface AppStateImportedV1 {
  value: unknown;
  updated_at?: number;
}

export interface AppStateDeletedV1 {
}

export interface AppStateExpiredV1 {
}

/**
 * A restore: from this position on, the log differs from what it was before.
 *
 * Or a takeover by a `leader` of a cluster, where the leader before may have answered more: at least
 * `missing_events` are missing, as far as other members and subscribers had been told of them.
 */
export interface TimelineForkedV1 {
  timeline: number;
  restored_position: number;
  leader?: string;
  missing_events?: number;
}

/** A part of a list, in the order of the keys; `next` is what to pass as `after`. */
export interface Page<Row> {
  items: Row[];
  next: string | number | null;
}

/** Each command's body and result. */
export interface Commands {
  "jobs.enqueue": { body: JobsEnqueue; result: EnqueueResult | null };
  "jobs.claim": { body: JobsClaim; result: ClaimResult };
  "jobs.heartbeat": { body: JobsHeartbeat; result: HeartbeatResult };
  "jobs.progress": { body: JobsProgress; result: ProgressResult };
  "jobs.complete": { body: JobsComplete; result: null };
  "jobs.fail": { body: JobsFail; result: null };
  "jobs.snooze": { body: JobsSnooze; result: null };
  "jobs.interrupt": { body: JobsInterrupt; result: null };
  "jobs.cancel": { body: JobsCancel; result: null };
  "jobs.ack_cancel": { body: JobsAckCancel; result: null };
  "jobs.retry": { body: JobsRetry; result: null };
  "jobs.hold": { body: JobsHold; result: null };
  "jobs.release": { body: JobsRelease; result: null };
  "jobs.reschedule": { body: JobsReschedule; result: null };
  "jobs.reprioritize": { body: JobsReprioritize; result: null };
  "jobs.update_payload": { body: JobsUpdatePayload; result: null };
  "jobs.archive": { body: JobsArchive; result: null };
  "jobs.cancel_many": { body: JobsCancelMany; result: ManyResult };
  "jobs.retry_many": { body: JobsRetryMany; result: ManyResult };
  "jobs.pause_queue": { body: JobsPauseQueue; result: null };
  "jobs.resume_queue": { body: JobsResumeQueue; result: null };
  "jobs.limit_queue": { body: JobsLimitQueue; result: null };
  "schedules.set": { body: SchedulesSet; result: null };
  "schedules.delete": { body: SchedulesDelete; result: null };
  "schedules.pause": { body: SchedulesPause; result: null };
  "schedules.resume": { body: SchedulesResume; result: null };
  "schedules.trigger": { body: SchedulesTrigger; result: TriggerResult };
  "rate_limits.observe": { body: RateLimitsObserve; result: null };
  "rate_limits.observe_response": { body: RateLimitsObserveResponse; result: ObserveResponseResult };
  "rate_limits.throttle": { body: RateLimitsThrottle; result: null };
  "rate_limits.set_thresholds": { body: RateLimitsSetThresholds; result: null };
  "rate_limits.reserve": { body: RateLimitsReserve; result: ReserveResult };
  "rate_limits.release": { body: RateLimitsRelease; result: null };
  "rate_limits.clear": { body: RateLimitsClear; result: null };
  "tool_configs.set": { body: ToolConfigsSet; result: null };
  "tool_configs.patch": { body: ToolConfigsPatch; result: null };
  "tool_configs.enable": { body: ToolConfigsEnable; result: null };
  "tool_configs.disable": { body: ToolConfigsDisable; result: null };
  "tool_configs.set_refresh_interval": { body: ToolConfigsSetRefreshInterval; result: null };
  "tool_configs.set_notifications": { body: ToolConfigsSetNotifications; result: null };
  "tool_configs.rollback": { body: ToolConfigsRollback; result: null };
  "tool_configs.delete": { body: ToolConfigsDelete; result: null };
  "tool_configs.register_schema": { body: ToolConfigsRegisterSchema; result: null };
  "tool_configs.remove_schema": { body: ToolConfigsRemoveSchema; result: null };
  "tool_configs.validate": { body: ToolConfigsValidate; result: ValidateResult };
  "app_state.set": { body: AppStateSet; result: null };
  "app_state.set_if": { body: AppStateSetIf; result: null };
  "app_state.delete": { body: AppStateDelete; result: null };
  "app_state.set_many": { body: AppStateSetMany; result: null };
}

/** Each query's body and answer. */
export interface Queries {
  "jobs.get": { body: JobsGetQuery; answer: WholeJobRow };
  "jobs.list": { body: JobsListQuery; answer: Page<JobRow> };
  "jobs.count": { body: JobsCountQuery; answer: GroupedCount };
  "jobs.history": { body: JobsHistoryQuery; answer: EventPage };
  "jobs.as_of": { body: JobsAsOfQuery; answer: WholeJobRow };
  "queues.get": { body: QueuesGetQuery; answer: QueueRow };
  "queues.list": { body: QueuesListQuery; answer: Page<QueueRow> };
  "queues.count": { body: QueuesCountQuery; answer: Count };
  "queues.history": { body: QueuesHistoryQuery; answer: EventPage };
  "queues.as_of": { body: QueuesAsOfQuery; answer: QueueRow };
  "schedules.get": { body: SchedulesGetQuery; answer: ScheduleRow };
  "schedules.list": { body: SchedulesListQuery; answer: Page<ScheduleRow> };
  "schedules.count": { body: SchedulesCountQuery; answer: Count };
  "schedules.history": { body: SchedulesHistoryQuery; answer: EventPage };
  "schedules.as_of": { body: SchedulesAsOfQuery; answer: ScheduleRow };
  "rate_limits.get": { body: RateLimitsGetQuery; answer: RateLimitRow };
  "rate_limits.list": { body: RateLimitsListQuery; answer: Page<RateLimitRow> };
  "rate_limits.count": { body: RateLimitsCountQuery; answer: Count };
  "rate_limits.history": { body: RateLimitsHistoryQuery; answer: EventPage };
  "rate_limits.as_of": { body: RateLimitsAsOfQuery; answer: RateLimitRow };
  "tool_configs.get": { body: ToolConfigsGetQuery; answer: ToolConfigRow };
  "tool_configs.list": { body: ToolConfigsListQuery; answer: Page<ToolConfigRow> };
  "tool_configs.count": { body: ToolConfigsCountQuery; answer: Count };
  "tool_configs.history": { body: ToolConfigsHistoryQuery; answer: EventPage };
  "tool_configs.as_of": { body: ToolConfigsAsOfQuery; answer: ToolConfigRow };
  "app_state.get": { body: AppStateGetQuery; answer: AppStateRow };
  "app_state.list": { body: AppStateListQuery; answer: Page<AppStateRow> };
  "app_state.count": { body: AppStateCountQuery; answer: Count };
  "app_state.history": { body: AppStateHistoryQuery; answer: EventPage };
  "app_state.as_of": { body: AppStateAsOfQuery; answer: AppStateRow };
  "rate_limits.may_call": { body: RateLimitsMayCallQuery; answer: Availability };
  "rate_limits.forecast": { body: RateLimitsForecastQuery; answer: Forecast };
  "tool_configs.diff": { body: ToolConfigsDiffQuery; answer: ToolConfigDiff };
  "events.read": { body: EventsReadQuery; answer: LogPage };
  "events.find": { body: EventsFindQuery; answer: FoundEvents };
  "events.chain": { body: EventsChainQuery; answer: EventChain };
  "jobs.browse": { body: JobsBrowseQuery; answer: Page<JobSummary> };
  "jobs.attempts": { body: JobsAttemptsQuery; answer: AttemptPage };
  "jobs.group": { body: JobsGroupQuery; answer: GroupProgress };
  "jobs.stats": { body: JobsStatsQuery; answer: Statistics };
  "jobs.throughput": { body: JobsThroughputQuery; answer: Throughput };
  "jobs.workers": { body: JobsWorkersQuery; answer: Workers };
  "jobs.running": { body: JobsRunningQuery; answer: Page<RunningJob> };
  "jobs.await": { body: JobsAwaitQuery; answer: AwaitedJob };
  "schedules.preview": { body: SchedulesPreviewQuery; answer: SchedulePreview };
}

/** Each table's events, and what they say, by their types. */
export interface Events {
  jobs: {
    "hyperpage.job.enqueued.v1": JobEnqueuedV1;
    "hyperpage.job.imported.v1": JobImportedV1;
    "hyperpage.job.claimed.v1": JobClaimedV1;
    "hyperpage.job.progressed.v1": JobProgressedV1;
    "hyperpage.job.completed.v1": JobCompletedV1;
    "hyperpage.job.attempt_failed.v1": JobAttemptFailedV1;
    "hyperpage.job.failed.v1": JobFailedV1;
    "hyperpage.job.snoozed.v1": JobSnoozedV1;
    "hyperpage.job.interrupted.v1": JobInterruptedV1;
    "hyperpage.job.cancel_requested.v1": JobCancelRequestedV1;
    "hyperpage.job.cancelled.v1": JobCancelledV1;
    "hyperpage.job.retried.v1": JobRetriedV1;
    "hyperpage.job.rescued.v1": JobRescuedV1;
    "hyperpage.job.attempt_timed_out.v1": JobAttemptTimedOutV1;
    "hyperpage.job.timed_out.v1": JobTimedOutV1;
    "hyperpage.job.held.v1": JobHeldV1;
    "hyperpage.job.released.v1": JobReleasedV1;
    "hyperpage.job.rescheduled.v1": JobRescheduledV1;
    "hyperpage.job.dependency_met.v1": JobDependencyMetV1;
    "hyperpage.job.group_met.v1": JobGroupMetV1;
    "hyperpage.job.replaced.v1": JobReplacedV1;
    "hyperpage.job.reprioritized.v1": JobReprioritizedV1;
    "hyperpage.job.payload_updated.v1": JobPayloadUpdatedV1;
    "hyperpage.job.archived.v1": JobArchivedV1;
  };
  queues: {
    "hyperpage.queue.paused.v1": QueuePausedV1;
    "hyperpage.queue.resumed.v1": QueueResumedV1;
    "hyperpage.queue.limited.v1": QueueLimitedV1;
  };
  schedules: {
    "hyperpage.schedule.set.v1": ScheduleSetV1;
    "hyperpage.schedule.deleted.v1": ScheduleDeletedV1;
    "hyperpage.schedule.paused.v1": SchedulePausedV1;
    "hyperpage.schedule.resumed.v1": ScheduleResumedV1;
    "hyperpage.schedule.triggered.v1": ScheduleTriggeredV1;
    "hyperpage.schedule.ran.v1": ScheduleRanV1;
    "hyperpage.schedule.skipped.v1": ScheduleSkippedV1;
  };
  rate_limits: {
    "hyperpage.rate_limit.observed.v1": RateLimitObservedV1;
    "hyperpage.rate_limit.imported.v1": RateLimitImportedV1;
    "hyperpage.rate_limit.level_changed.v1": RateLimitLevelChangedV1;
    "hyperpage.rate_limit.throttled.v1": RateLimitThrottledV1;
    "hyperpage.rate_limit.thresholds_set.v1": RateLimitThresholdsSetV1;
    "hyperpage.rate_limit.reserved.v1": RateLimitReservedV1;
    "hyperpage.rate_limit.released.v1": RateLimitReleasedV1;
    "hyperpage.rate_limit.calls_claimed.v1": RateLimitCallsClaimedV1;
    "hyperpage.rate_limit.calls_ended.v1": RateLimitCallsEndedV1;
    "hyperpage.rate_limit.cleared.v1": RateLimitClearedV1;
  };
  tool_configs: {
    "hyperpage.tool_config.set.v1": ToolConfigSetV1;
    "hyperpage.tool_config.imported.v1": ToolConfigImportedV1;
    "hyperpage.tool_config.patched.v1": ToolConfigPatchedV1;
    "hyperpage.tool_config.enabled.v1": ToolConfigEnabledV1;
    "hyperpage.tool_config.disabled.v1": ToolConfigDisabledV1;
    "hyperpage.tool_config.refresh_interval_set.v1": ToolConfigRefreshIntervalSetV1;
    "hyperpage.tool_config.notifications_set.v1": ToolConfigNotificationsSetV1;
    "hyperpage.tool_config.rolled_back.v1": ToolConfigRolledBackV1;
    "hyperpage.tool_config.deleted.v1": ToolConfigDeletedV1;
    "hyperpage.tool_config.schema_registered.v1": ToolConfigSchemaRegisteredV1;
    "hyperpage.tool_config.schema_removed.v1": ToolConfigSchemaRemovedV1;
  };
  app_state: {
    "hyperpage.app_state.set.v1": AppStateSetV1;
    "hyperpage.app_state.imported.v1": AppStateImportedV1;
    "hyperpage.app_state.deleted.v1": AppStateDeletedV1;
    "hyperpage.app_state.expired.v1": AppStateExpiredV1;
  };
}
export type TableName = keyof Events;

export type CommandName = keyof Commands;
export type CommandBody<Name extends CommandName> = Commands[Name]["body"];
export type CommandResult<Name extends CommandName> = Commands[Name]["result"];

export type QueryName = keyof Queries;
export type QueryBody<Name extends QueryName> = Queries[Name]["body"];
export type QueryAnswer<Name extends QueryName> = Queries[Name]["answer"];
