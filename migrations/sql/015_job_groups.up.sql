-- rows stay
-- The groups that jobs belong to, and those that they wait for.

ALTER TABLE jobs ADD COLUMN group_id TEXT;
ALTER TABLE jobs ADD COLUMN after_group TEXT;

-- Rows that are there already, as their events say it: a member of a cluster may have followed a newer one, up to
-- the first event that it did not know, or this step may have been taken back. Who has not been let go waits.
UPDATE jobs
SET (group_id, after_group) = (
  SELECT iif(json_valid(data), data ->> 'group_id', NULL), iif(json_valid(data), data -> 'after_group', NULL)
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position AND type = 'job.enqueued.v1'
  ORDER BY version DESC
  LIMIT 1
);
-- A patch with null changes nothing.
UPDATE jobs
SET after_group = json_patch(after_group, json_object('met_at', (
  SELECT max(recorded_at)
  FROM events
  WHERE stream = 'jobs/' || jobs.id AND position >= created_position AND type = 'job.group_met.v1'
)))
WHERE after_group IS NOT NULL;
UPDATE jobs
SET state = 'blocked'
WHERE after_group IS NOT NULL AND after_group ->> 'met_at' IS NULL AND state IN ('scheduled', 'pending');

-- What a group has come to is counted here alone. Empty where nobody uses groups.
CREATE INDEX idx_jobs_group ON jobs(group_id, state, completed_at, started_at) WHERE group_id IS NOT NULL;
