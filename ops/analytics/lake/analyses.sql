-- All attempts, also those of jobs that have left the tables since, each with its job as it was then. Attempts that are
-- still in the tables are read there: to find the last version of each takes three times as long.
CREATE OR REPLACE VIEW attempts AS
  WITH gone AS (
    SELECT job_id, max(position) AS gone_at FROM job_history_versions
    WHERE deleted AND position <= shown_position() GROUP BY job_id
  ),
  of_gone AS (
    SELECT v.* FROM job_history_versions AS v JOIN gone USING (job_id)
    WHERE NOT v.deleted AND v.position < gone.gone_at
  ),
  latest AS (SELECT id, max(position) AS position FROM of_gone GROUP BY id),
  described AS (
    SELECT id, arg_max(type, position) AS type, arg_max(tool, position) AS tool,
      arg_max(endpoint, position) AS endpoint, arg_max(priority, position) AS priority
    FROM jobs_versions AS v JOIN gone ON gone.job_id = v.id
    -- After that position, the id may belong to another job.
    WHERE NOT v.deleted AND v.position < gone.gone_at GROUP BY id
  ),
  -- An attempt's id is the position at which it began. Imported attempts have none, and their workers are unknown.
  claimed AS (SELECT position AS id, data_worker AS worker FROM events WHERE type = 'job.claimed.v1'),
  known AS (
    SELECT a.*, j.type, j.tool, j.endpoint, j.priority FROM job_history AS a LEFT JOIN jobs AS j ON j.id = a.job_id
    UNION ALL BY NAME
    SELECT a.* EXCLUDE (position, deleted, timeline), j.type, j.tool, j.endpoint, j.priority
    FROM of_gone AS a SEMI JOIN latest USING (id, position) LEFT JOIN described AS j ON j.id = a.job_id
  )
  SELECT id, job_id, attempt, status, queue, type, tool, endpoint, priority, worker,
    due_at, started_at, completed_at, started_at - due_at AS wait_ms, duration_ms, error_message,
    time_of(started_at) AS started, time_of(completed_at) AS completed
  FROM known LEFT JOIN claimed USING (id);

-- All jobs in their last version, also those that have left the tables since (`archived`). `due_at` is when a job could
-- first have been worked on: it was not held, and all that it depended on was done. NULL if it never could.
CREATE OR REPLACE VIEW jobs_ever AS
  SELECT v.* EXCLUDE (position, deleted, timeline), v.position, lives.due_at, time_of(lives.due_at) AS due,
    time_of(v.completed_at) AS completed, coalesce(gone_at > v.position, false) AS archived
  FROM jobs_versions AS v JOIN (
    -- An id may be used again, but the position at which a job was created is its own.
    SELECT created_position, max(position) AS position,
      CASE WHEN bool_or(state NOT IN ('held', 'blocked', 'cancelled')) THEN greatest(
        coalesce(min(run_at) FILTER (state = 'running' AND attempt = 1), arg_max(run_at, position)),
        min(updated_at) FILTER (state IN ('pending', 'scheduled'))
      ) END AS due_at
    FROM jobs_versions WHERE NOT deleted AND position <= shown_position() GROUP BY created_position
  ) AS lives USING (position)
  LEFT JOIN (
    SELECT id, max(position) AS gone_at FROM jobs_versions WHERE deleted AND position <= shown_position() GROUP BY id
  ) AS gone USING (id);

-- The number of events in each bucket of time.
CREATE OR REPLACE MACRO event_rate(bucket) AS TABLE
  SELECT bucket_of(bucket, recorded_at) AS bucket, table_name, type, count(*) AS events
  FROM events GROUP BY ALL ORDER BY ALL;

-- The value that attempts and jobs are grouped by; NULL: they are not grouped.
CREATE OR REPLACE MACRO group_of("by", type, tool, endpoint, queue, priority, status, worker) AS
  CASE "by"
    WHEN 'type' THEN type
    WHEN 'tool' THEN tool
    WHEN 'endpoint' THEN endpoint
    WHEN 'queue' THEN queue
    WHEN 'priority' THEN CAST(priority AS VARCHAR)
    WHEN 'status' THEN status
    WHEN 'worker' THEN worker
    ELSE CASE WHEN "by" IS NOT NULL THEN
      error('"by" is type, tool, endpoint, queue, priority, status or worker, not ' || "by")
    END
  END;

-- How long attempts waited for a worker since they were due, and how long they ran, by the time at which they began, and
-- by the column that "by" names.
CREATE OR REPLACE MACRO job_latency(bucket, "by" := NULL) AS TABLE
  SELECT bucket_of(bucket, started_at) AS bucket,
    group_of("by", type, tool, endpoint, queue, priority, status, worker) AS "by", count(*) AS attempts,
    quantile_disc(wait_ms, 0.5) AS wait_p50_ms, quantile_disc(wait_ms, 0.95) AS wait_p95_ms,
    quantile_disc(wait_ms, 0.99) AS wait_p99_ms, max(wait_ms) AS wait_max_ms,
    quantile_disc(duration_ms, 0.5) AS run_p50_ms, quantile_disc(duration_ms, 0.95) AS run_p95_ms,
    quantile_disc(duration_ms, 0.99) AS run_p99_ms, max(duration_ms) AS run_max_ms
  FROM attempts WHERE started_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2;

-- How attempts ended, by type, tool, endpoint, queue, priority, status or worker ('type', …), and by the time at which
-- they ended (or began, if they still run). The rate is the share of failed and timed out attempts among the ended ones.
CREATE OR REPLACE MACRO failure_rate("by", bucket := NULL) AS TABLE
  SELECT
    group_of("by", type, tool, endpoint, queue, priority, status, worker) AS "by",
    bucket_of(bucket, coalesce(completed_at, started_at)) AS bucket,
    count(*) AS attempts,
    count(completed_at) AS ended,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'timeout') AS timed_out,
    count(*) FILTER (status = 'rescued') AS rescued,
    round(count(*) FILTER (status IN ('failed', 'timeout')) / nullif(count(completed_at), 0), 4) AS failure_rate
  FROM attempts GROUP BY 1, 2 ORDER BY 2, failure_rate DESC NULLS LAST, attempts DESC, 1;

-- Whether a job was not done within an interval since it was due. NULL if it does not count: its time is not over, it
-- was cancelled in time, or it is held or blocked.
CREATE OR REPLACE MACRO is_late(state, due_at, completed_at, within) AS
  CASE
    WHEN state = 'completed' THEN completed_at > due_at + epoch_ms(CAST(within AS INTERVAL))
    WHEN state IN ('held', 'blocked') THEN NULL
    WHEN state = 'cancelled' AND completed_at <= due_at + epoch_ms(CAST(within AS INTERVAL)) THEN NULL
    WHEN shown_ms() > due_at + epoch_ms(CAST(within AS INTERVAL)) THEN true
  END;

-- The jobs that were not done within an interval since they were due, also those that have left the tables, and how late
-- each was, or is by now. A job that failed for good is not done yet; a cancelled one was late until it was cancelled.
CREATE OR REPLACE MACRO sla_misses(within) AS TABLE
  SELECT id, type, tool, queue, priority, state, due, completed, retry_count, error, created_position,
    coalesce(CASE WHEN state IN ('completed', 'cancelled') THEN completed_at END, shown_ms())
      - due_at - epoch_ms(CAST(within AS INTERVAL)) AS late_ms
  FROM jobs_ever WHERE is_late(state, due_at, completed_at, within) ORDER BY due_at, id;

-- How many jobs were due, and how many of them were late as in `sla_misses`, by type, tool, endpoint, queue, priority,
-- status or worker ('type', …), and by the time at which they were due.
CREATE OR REPLACE MACRO sla_rate(within, "by" := NULL, bucket := NULL) AS TABLE
  SELECT
    group_of("by", type, tool, endpoint, queue, priority, status, worker) AS "by",
    bucket_of(bucket, due_at) AS bucket,
    count(*) AS jobs,
    count(*) FILTER (is_late(state, due_at, completed_at, within)) AS late,
    round(count(*) FILTER (is_late(state, due_at, completed_at, within)) / count(*), 4) AS late_rate
  FROM jobs_ever WHERE is_late(state, due_at, completed_at, within) IS NOT NULL
  GROUP BY 1, 2 ORDER BY 2, late_rate DESC, jobs DESC, 1;

-- The changes of a tool's configuration: when, by whom and why, with the content before and after. NULL: of every tool.
CREATE OR REPLACE MACRO config_audit(tool) AS TABLE
  SELECT e.time, e.key AS tool_name, e.version, e.type, e.actor, e.data_reason AS reason,
    lag(v.enabled) OVER w AS enabled_before, v.enabled, lag(v.config) OVER w AS config_before, v.config,
    v.refresh_interval, v.notifications, e.command_id, e.correlation_id, e.position
  FROM events AS e LEFT JOIN tool_configs_versions AS v USING (position)
  WHERE e.table_name = 'tool_configs' AND (tool IS NULL OR e.key = tool)
  WINDOW w AS (PARTITION BY e.key ORDER BY e.position)
  ORDER BY e.position;

-- The buckets of time in which a tool began to fail, with the last change of its configuration before the first failure.
-- In such a bucket, at least `least` attempts failed, at twice the rate of the tool's other buckets or more, while the
-- bucket right before was not such a one. Positions tell which event came first: two times may be the same.
CREATE OR REPLACE MACRO failure_spikes(bucket, least := 3) AS TABLE
  SELECT s.tool, s.begins AS bucket, s.ended, s.failed, round(s.rate, 4) AS failure_rate, round(s.usual, 4) AS usual_rate,
    s.first_failed, c.time AS changed, epoch_ms(s.first_failed) - epoch_ms(c.time) AS changed_ms_before, c.type AS change,
    c.actor, c.reason, c.version, c.config_before, c.config
  FROM (
    SELECT *, coalesce(
        lag(is_spike) OVER (PARTITION BY tool ORDER BY begins)
          AND lag(begins) OVER (PARTITION BY tool ORDER BY begins) = bucket_of(bucket, epoch_ms(begins) - 1),
        false
      ) AS goes_on
    FROM (
      SELECT *, failed / ended AS rate, others_failed / nullif(others, 0) AS usual,
        failed >= least AND rate >= 2 * coalesce(usual, 0) AS is_spike
      FROM (
        -- The division is a level above, since DuckDB 1.4.0 knows no nullif() of a window in a macro.
        SELECT *, sum(failed) OVER of_tool - failed AS others_failed, sum(ended) OVER of_tool - ended AS others
        FROM (
          SELECT a.tool, bucket_of(bucket, a.completed_at) AS begins, count(*) AS ended,
            count(*) FILTER (a.status IN ('failed', 'timeout')) AS failed, min(f.position) AS first_position,
            min(a.completed) FILTER (a.status IN ('failed', 'timeout')) AS first_failed
          FROM attempts AS a LEFT JOIN (
            SELECT id, max(position) AS position FROM job_history_versions
            WHERE NOT deleted AND status IN ('failed', 'timeout') AND position <= shown_position() GROUP BY id
          ) AS f USING (id)
          WHERE a.completed_at IS NOT NULL AND a.tool IS NOT NULL GROUP BY 1, 2
        ) AS counted
        WINDOW of_tool AS (PARTITION BY tool)
      ) AS compared
    ) AS judged
  ) AS s
  ASOF LEFT JOIN (SELECT * FROM config_audit(NULL)) AS c ON s.tool = c.tool_name AND s.first_position > c.position
  WHERE s.is_spike AND NOT s.goes_on ORDER BY s.begins, s.tool;

-- The changes by people within an interval before a moment, the newest first: of configurations, queues and schedules,
-- and of rate limits those that set thresholds or cleared the limit.
CREATE OR REPLACE MACRO changes_before(moment, within := '1 hour') AS TABLE
  SELECT time, table_name, key, type, actor, data_reason AS reason, data, position
  FROM events
  WHERE position <= position_of(moment)
    AND recorded_at >= coalesce(milliseconds_of(moment),
      (SELECT max(e.recorded_at) FROM events AS e WHERE e.position <= position_of(moment)))
      - epoch_ms(CAST(within AS INTERVAL))
    AND (table_name IN ('tool_configs', 'queues')
      OR table_name = 'schedules' AND type NOT IN ('schedule.ran.v1', 'schedule.skipped.v1')
      OR type IN ('rate_limit.thresholds_set.v1', 'rate_limit.cleared.v1'))
  ORDER BY position DESC;

-- What was left of a platform's budgets over time, or of all budgets for NULL, and how fast it was used: calls an hour
-- since the observation before, within the same window.
CREATE OR REPLACE MACRO rate_limit_burn(of_platform) AS TABLE
  SELECT time, id, platform, resource, identifier, limit_remaining, limit_total,
    round(100.0 * (limit_total - limit_remaining) / nullif(limit_total, 0), 1) AS used_percent,
    calls, round(calls * 3600000.0 / nullif(epoch_ms(time) - epoch_ms(since), 0), 1) AS calls_an_hour,
    time_of(reset_time) AS resets, level, position
  FROM (
    SELECT v.id, v.platform, v.resource, v.identifier, v.position, e.time, v.limit_remaining, v.limit_total, v.reset_time,
      v.level, lag(v.limit_remaining) OVER w - v.limit_remaining AS went, lag(e.time) OVER w AS since,
      -- Calls that were given back within a window were not made.
      CASE WHEN went < 0 THEN 0 ELSE went END AS calls
    FROM rate_limits_versions AS v JOIN events AS e USING (position)
    WHERE NOT v.deleted AND (of_platform IS NULL OR v.platform = of_platform)
      -- These events say nothing new about what is left.
      AND e.type NOT IN ('rate_limit.level_changed.v1', 'rate_limit.thresholds_set.v1', 'rate_limit.reserved.v1',
        'rate_limit.released.v1')
    WINDOW w AS (PARTITION BY v.id, v.reset_time ORDER BY v.position)
  ) AS observed
  ORDER BY id, position;
