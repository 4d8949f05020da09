-- Every attempt that there was, also of jobs that have left the tables since, with what its job was then. Those that
-- are in the tables come from there: to find the last version of each takes three times as long.
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
    -- Behind that, the id may be another job's.
    WHERE NOT v.deleted AND v.position < gone.gone_at GROUP BY id
  ),
  known AS (
    SELECT a.*, j.type, j.tool, j.endpoint, j.priority FROM job_history AS a LEFT JOIN jobs AS j ON j.id = a.job_id
    UNION ALL BY NAME
    SELECT a.* EXCLUDE (position, deleted, timeline), j.type, j.tool, j.endpoint, j.priority
    FROM of_gone AS a SEMI JOIN latest USING (id, position) LEFT JOIN described AS j ON j.id = a.job_id
  )
  SELECT id, job_id, attempt, status, queue, type, tool, endpoint, priority,
    due_at, started_at, completed_at, started_at - due_at AS wait_ms, duration_ms, error_message,
    make_timestamp(started_at * 1000) AS started, make_timestamp(completed_at * 1000) AS completed
  FROM known;

-- How many events there were in each stretch of time.
CREATE OR REPLACE MACRO event_rate(bucket) AS TABLE
  SELECT time_bucket(CAST(bucket AS INTERVAL), time) AS bucket, table_name, type, count(*) AS events
  FROM events GROUP BY ALL ORDER BY ALL;

-- How long attempts waited for a worker since they were due, and how long they ran, by when they began.
CREATE OR REPLACE MACRO job_latency(bucket) AS TABLE
  SELECT time_bucket(CAST(bucket AS INTERVAL), started) AS bucket, count(*) AS attempts,
    quantile_disc(wait_ms, 0.5) AS wait_p50_ms, quantile_disc(wait_ms, 0.95) AS wait_p95_ms,
    quantile_disc(wait_ms, 0.99) AS wait_p99_ms, max(wait_ms) AS wait_max_ms,
    quantile_disc(duration_ms, 0.5) AS run_p50_ms, quantile_disc(duration_ms, 0.95) AS run_p95_ms,
    quantile_disc(duration_ms, 0.99) AS run_p99_ms, max(duration_ms) AS run_max_ms
  FROM attempts WHERE started_at IS NOT NULL GROUP BY 1 ORDER BY 1;

-- How attempts ended, by type, tool, endpoint, queue, priority or status ('type', …). The rate is that of those that
-- failed or timed out among those that have ended.
CREATE OR REPLACE MACRO failure_rate("by") AS TABLE
  SELECT
    CASE "by"
      WHEN 'type' THEN type
      WHEN 'tool' THEN tool
      WHEN 'endpoint' THEN endpoint
      WHEN 'queue' THEN queue
      WHEN 'priority' THEN CAST(priority AS VARCHAR)
      WHEN 'status' THEN status
      ELSE error('failure_rate(by): type, tool, endpoint, queue, priority or status, not ' || "by")
    END AS "by",
    count(*) AS attempts,
    count(completed_at) AS ended,
    count(*) FILTER (status = 'completed') AS completed,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'timeout') AS timed_out,
    count(*) FILTER (status = 'rescued') AS rescued,
    round(count(*) FILTER (status IN ('failed', 'timeout')) / nullif(count(completed_at), 0), 4) AS failure_rate
  FROM attempts GROUP BY 1 ORDER BY failure_rate DESC NULLS LAST, attempts DESC, 1;

-- What was left of a platform's budgets over time, and how fast it went: calls in an hour since the observation before,
-- within the same window.
CREATE OR REPLACE MACRO rate_limit_burn(of_platform) AS TABLE
  SELECT time, id, resource, identifier, limit_remaining, limit_total,
    round(100.0 * (limit_total - limit_remaining) / nullif(limit_total, 0), 1) AS used_percent,
    calls, round(calls * 3600000.0 / nullif(epoch_ms(time) - epoch_ms(since), 0), 1) AS calls_an_hour,
    make_timestamp(reset_time * 1000) AS resets, level, position
  FROM (
    SELECT v.id, v.resource, v.identifier, v.position, e.time, v.limit_remaining, v.limit_total, v.reset_time,
      v.level, lag(v.limit_remaining) OVER w - v.limit_remaining AS went, lag(e.time) OVER w AS since,
      -- What was given back within a window was not called.
      CASE WHEN went < 0 THEN 0 ELSE went END AS calls
    FROM rate_limits_versions AS v JOIN events AS e USING (position)
    WHERE NOT v.deleted AND v.platform = of_platform
    WINDOW w AS (PARTITION BY v.id, v.reset_time ORDER BY v.position)
  ) AS observed
  ORDER BY id, position;

-- Who changed a tool's configuration when and why, with what it was before and after; of every tool for NULL.
CREATE OR REPLACE MACRO config_audit(tool) AS TABLE
  SELECT e.time, e.key AS tool_name, e.version, e.type, e.actor, e.data_reason AS reason,
    lag(v.enabled) OVER w AS enabled_before, v.enabled, lag(v.config) OVER w AS config_before, v.config,
    v.refresh_interval, v.notifications, e.command_id, e.correlation_id, e.position
  FROM events AS e LEFT JOIN tool_configs_versions AS v USING (position)
  WHERE e.table_name = 'tool_configs' AND (tool IS NULL OR e.key = tool)
  WINDOW w AS (PARTITION BY e.key ORDER BY e.position)
  ORDER BY e.position;
