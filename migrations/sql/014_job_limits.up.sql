-- rows stay
-- Limits of jobs and of queues: how many run at once, and how many attempts begin within a window.

ALTER TABLE jobs ADD COLUMN concurrency TEXT;
ALTER TABLE jobs ADD COLUMN rate TEXT;
ALTER TABLE queues ADD COLUMN concurrency INTEGER;
ALTER TABLE queues ADD COLUMN rate TEXT;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one.
UPDATE jobs
SET (concurrency, rate) = (
  SELECT iif(json_valid(data), data -> 'concurrency', NULL), iif(json_valid(data), data -> 'rate', NULL)
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position
    AND type IN ('job.enqueued.v1', 'job.replaced.v1')
  ORDER BY version DESC
  LIMIT 1
)
WHERE id IN (
  SELECT substr(stream, 6)
  FROM events
  WHERE type IN ('job.enqueued.v1', 'job.replaced.v1')
    AND iif(json_valid(data), coalesce(data -> 'concurrency', data -> 'rate'), NULL) IS NOT NULL
);
UPDATE queues
SET (concurrency, rate) = (
  SELECT iif(json_valid(data), data ->> 'concurrency', NULL), iif(json_valid(data), data -> 'rate', NULL)
  FROM events
  WHERE stream = 'queues/' || queues.name AND type = 'queue.limited.v1'
  ORDER BY version DESC
  LIMIT 1
);

-- The begins of attempts that rates count, also of jobs that have left their table. Empty where nobody uses it.
CREATE INDEX idx_events_counted ON events(recorded_at)
WHERE type = 'job.claimed.v1' AND json_valid(data) AND data ->> 'counted' IS NOT NULL;
