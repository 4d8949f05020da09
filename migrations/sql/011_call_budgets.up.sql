-- rows stay
-- The rate limits that jobs draw on.

ALTER TABLE jobs ADD COLUMN budget TEXT;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one, up to
-- the first job that it could not follow the claim of.
UPDATE jobs
SET budget = (
  SELECT data -> 'budget'
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position
    AND type IN ('job.enqueued.v1', 'job.replaced.v1')
  ORDER BY version DESC
  LIMIT 1
)
WHERE started_at IS NULL;

-- Those that wait, by the limit that they draw on. Empty where nobody uses it.
CREATE INDEX idx_jobs_budget
ON jobs(budget ->> 'platform', budget ->> 'resource', budget ->> 'identifier')
WHERE budget IS NOT NULL AND completed_at IS NULL;
