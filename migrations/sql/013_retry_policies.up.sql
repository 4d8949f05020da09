-- rows stay
-- When jobs are tried again, as they have chosen, and rescues that cost no attempt.

ALTER TABLE jobs ADD COLUMN retry TEXT;

-- What is no JSON is damaged: the log is looked at for that elsewhere, and the step must not fail over it.
-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one. The
-- log is read once, for the jobs of which it says something. Of an attempt that the last rescue gave back, an
-- older member's row does not know, nor does it still say that there was a rescue, once the job was retried.
UPDATE jobs
SET
  retry = (
    SELECT iif(json_valid(data), data -> 'retry', NULL)
    FROM events
    WHERE stream = 'jobs/' || jobs.id AND position >= created_position
      AND type IN ('job.enqueued.v1', 'job.replaced.v1')
    ORDER BY version DESC
    LIMIT 1
  ),
  attempt = CASE (
    SELECT iif(json_valid(data), data ->> 'costs_attempt', NULL)
    FROM events
    WHERE stream = 'jobs/' || jobs.id AND position >= created_position
      AND type IN ('job.claimed.v1', 'job.rescued.v1')
    ORDER BY version DESC
    LIMIT 1
  )
    WHEN 0 THEN (
      SELECT iif(json_valid(data), data ->> 'attempt', NULL)
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
  WHERE (type IN ('job.enqueued.v1', 'job.replaced.v1') AND iif(json_valid(data), data -> 'retry', NULL) IS NOT NULL)
    OR (type = 'job.rescued.v1' AND iif(json_valid(data), data ->> 'costs_attempt', NULL) = 0)
);
