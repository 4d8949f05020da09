-- rows stay
-- How long the results of jobs are kept, as they have chosen.

ALTER TABLE jobs ADD COLUMN result_ttl_ms INTEGER;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one.
UPDATE jobs
SET result_ttl_ms = (
  SELECT iif(json_valid(data), data ->> 'result_ttl_ms', NULL)
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position
    AND type IN ('job.enqueued.v1', 'job.replaced.v1')
  ORDER BY version DESC
  LIMIT 1
)
WHERE id IN (
  SELECT substr(stream, 6)
  FROM events
  WHERE type IN ('job.enqueued.v1', 'job.replaced.v1') AND iif(json_valid(data), data -> 'result_ttl_ms', NULL) IS NOT NULL
);

-- Those that leave the tables by themselves, by when. Empty where nobody asks for it.
CREATE INDEX idx_jobs_result_times
ON jobs(completed_at + result_ttl_ms)
WHERE result_ttl_ms IS NOT NULL AND state = 'completed';
