-- rows stay
-- Why jobs were cancelled, or are to be: by whom they depend on, say.

ALTER TABLE jobs ADD COLUMN cancel_reason TEXT;

-- Rows that are there already, as their events say it.
UPDATE jobs
SET cancel_reason = (
  SELECT data ->> 'reason'
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position
    AND type IN ('job.cancel_requested.v1', 'job.cancelled.v1')
  ORDER BY version DESC
  LIMIT 1
)
WHERE status = 'cancelled' OR cancel_requested;
