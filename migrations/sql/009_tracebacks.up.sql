-- rows stay
-- Where attempts failed, as their workers have written it.

ALTER TABLE jobs ADD COLUMN traceback TEXT;
ALTER TABLE job_history ADD COLUMN traceback TEXT;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one.
UPDATE jobs
SET traceback = (
  SELECT data ->> 'traceback'
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position > created_position
    AND type IN ('job.attempt_failed.v1', 'job.failed.v1', 'job.attempt_timed_out.v1', 'job.timed_out.v1')
  ORDER BY version DESC
  LIMIT 1
)
WHERE error IS NOT NULL;

UPDATE job_history
SET traceback = (
  SELECT data ->> 'traceback'
  FROM events
  WHERE stream = 'jobs/' || job_id AND position > job_history.id
    AND type IN ('job.attempt_failed.v1', 'job.failed.v1')
  ORDER BY version
  LIMIT 1
)
WHERE status = 'failed' AND id > 0;
