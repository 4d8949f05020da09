-- When jobs are tried again, as they have chosen, and rescues that cost no attempt.

ALTER TABLE jobs ADD COLUMN retry TEXT;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one. The
-- log is read once, for the jobs of which it says something. Of an attempt that the last rescue gave back, an
-- older member's row does not know, nor does it still say that there was a rescue, once the job was retried.
UPDATE jobs
SET
  retry = (
    SELECT data -> 'retry'
    FROM events
    WHERE stream = 'jobs/' || jobs.id AND position >= created_position
      AND type IN ('job.enqueued.v1', 'job.replaced.v1')
    ORDER BY version DESC
    LIMIT 1
  ),
  attempt = CASE (
    SELECT data ->> 'costs_attempt'
    FROM events
    WHERE stream = 'jobs/' || jobs.id AND position >= created_position
      AND type IN ('job.claimed.v1', 'job.rescued.v1')
    ORDER BY version DESC
    LIMIT 1
  )
    WHEN 0 THEN (
      SELECT data ->> 'attempt'
      FROM events
      WHERE stream = 'jobs/' || jobs.id AND position >= created_position AND type = 'job.claimed.v1'
      ORDER BY version DESC
      LIMIT 1
    ) - 1
    ELSE attempt
  END
WHERE id IN (
  SELECT substr(stream, 6)
  FROM events
  WHERE (type IN ('job.enqueued.v1', 'job.replaced.v1') AND data -> 'retry' IS NOT NULL)
    OR (type = 'job.rescued.v1' AND data ->> 'costs_attempt' = 0)
);
